"""Acceptance: all checks of a new job, and its record, in one round trip to Redis."""

from __future__ import annotations

from typing import Any, NamedTuple

from rubydraw.jobs.unsettled import UnsettledJobs
from rubydraw.limits.budget import Budget
from rubydraw.limits.quotas import CACHED, WHOLE, Charge
from rubydraw.redis.store import Call, Script, Store


def accept_script() -> Script:
    """Return all steps as one script: a job that a step refuses is not recorded, and nothing changes between steps."""
    steps = {name: Script(name) for name in ("charge", "take_place")}
    steps |= {"keep": Script("kept", "keep"), "check_budget": Script("budget", "check_budget")}
    return Script("accept", steps=steps | {"submit": Script("job", "submit")})


class Accepted(NamedTuple):
    """The job as it now is, with its created_at in ms, and the mark of the request that recorded it."""

    status: str
    created_at_ms: int
    recorder: str


class Acceptance:
    """Raises RateLimited, BudgetExceeded, and StoreUnavailable when Redis cannot be reached."""

    def __init__(self, store: Store, budget: Budget, unsettled: UnsettledJobs) -> None:
        self._store, self._budget, self._unsettled = store, budget, unsettled
        self._script = accept_script()

    async def __call__(self, record: Call, request_id: str, charge: Charge, *, drawing: Call | None) -> Accepted:
        """
        Check that this caller may have one more job, and record it as `queued`.

        `record`: the call that records the job. `drawing`: the call that checks whether the drawing is kept. If it is,
        the job is recorded as `done` and costs a tenth of a request, whatever the budget says.
        """
        payer = charge.principal
        place = self._unsettled.take(payer, request_id)
        answer: list[Any] = []
        for is_last in (False, True):
            tenth = charge.call(CACHED) if drawing else None
            rest = charge.call(WHOLE, paid=CACHED if tenth else None)
            answer = await self._taken(tenth, drawing, rest, self._budget.check_call(payer), place, record)
            charge.answered(CACHED, answer[0])
            charge.answered(WHOLE, answer[2])
            self._budget.take_answer(answer[3], payer)
            if recorded := answer[5]:
                return Accepted(recorded[0].decode(), int(recorded[1]), recorded[2].decode())
            await self._unsettled.refused(place, is_final=is_last)
        raise AssertionError(answer)

    async def _taken(self, *steps: Call | None) -> list[Any]:
        taken = [step or Call(self._script, [], ()) for step in steps]
        counts = [count for step in taken for count in (len(step.keys), len(step.args))]
        keys = [key for step in taken for key in step.keys]
        args = [arg for step in taken for arg in step.args]
        answers: list[Any] = await self._store.script(self._script, keys, (*counts, *args))
        return answers
