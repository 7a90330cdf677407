"""work: a delivered job is claimed, its sketch improved, and the job settled."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable
from enum import Enum
from functools import partial
from typing import NamedTuple

from rubydraw import logs
from rubydraw.drawing import Improved
from rubydraw.drawings.glance import Glance
from rubydraw.drawings.kept import Kept
from rubydraw.errors import BudgetExceeded, Code, GeminiBusy, ResultExpired, SketchError, StoreUnavailable, Unavailable
from rubydraw.improve import AFTER_THE_CALL_S, Improve
from rubydraw.jobs.message import JobMessage
from rubydraw.jobs.state import SETTLED
from rubydraw.jobs.transitions import Claim, Jobs
from rubydraw.limits.admission import Gate
from rubydraw.redis.store import Call
from rubydraw.stopping import Stop

LONGEST_WAIT_S = 30.0
SPREAD = 0.2
"""Jobs that wait for the same moment wake up spread over this share of the wait: the first tries Gemini for all."""
SAVE_PAUSES_S = (0.0, 0.5, 1.0, 2.0, 2.0)
"""A drawing that was paid for is worth some seconds of trying before its job is handed back."""


class Outcome(Enum):
    """What became of a delivery."""

    SETTLED = "settled"
    GIVEN_UP = "given up"
    AGAIN = "again"


class Ended(NamedTuple):
    """How an attempt at a job ended. `wait_s`: when to claim the job again here; 0: the delivery is over."""

    outcome: Outcome
    code: str = ""
    wait_s: float = 0.0


class Work:
    """The worker side. **At least once: a job may be delivered twice; it is improved once, and it ends.**"""

    def __init__(
        self,
        improve: Improve,
        kept: Kept,
        jobs: Jobs,
        gate: Gate,
        stop: Stop,
        *,
        deadline_s: float,
        call_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._chance = chance
        self._improve, self._kept, self._jobs, self._gate, self._stop = improve, kept, jobs, gate, stop
        self._deadline_s, self._call_timeout_s, self._clock = deadline_s, call_timeout_s, clock

    async def __call__(self, job: JobMessage) -> tuple[Outcome, str]:
        """Do a job as far as it can be done now; return its outcome and, where it ended in an error, the code."""
        deadline = self._clock() + self._deadline_s
        try:
            while (ended := await self._attempt(job, deadline)).wait_s:
                await self._stop.sleep(ended.wait_s * (1 + SPREAD * self._chance()))
            return ended.outcome, ended.code
        except Unavailable:
            return Outcome.AGAIN, Code.UNAVAILABLE

    async def _attempt(self, job: JobMessage, deadline: float) -> Ended:
        """Claim the job and do it."""
        if self._stop.requested:
            return Ended(Outcome.AGAIN, Code.UNAVAILABLE)
        self._gate.check()
        token = uuid.uuid4().hex
        glance = self._kept.glance(self._improve.digest(job.sketch), self._jobs.store)
        claim = await self._jobs.claim(job, token, glance)
        logs.info("job.claimed", request_id=job.request_id, kind=claim.kind, attempt=claim.attempt)
        match claim.kind:
            case "run":
                return await self._run(job, claim, token, glance, deadline)
            case "busy":
                return Ended(Outcome.AGAIN, wait_s=self._worth_waiting(claim.busy_ms / 1000, deadline))
            case "surplus":
                return Ended(Outcome.SETTLED)  # by the worker that holds the job under another message
            case "exhausted":
                return await self._exhausted(job, token)
            case _:
                return _ended(claim.status, claim.code)

    async def _run(self, job: JobMessage, claim: Claim, token: str, glance: Glance, deadline: float) -> Ended:
        """Improve the sketch of a job that we hold and record its end; a drawing that is gone by then is made again."""
        improve = partial(
            self._improve, job.sketch, deadline=deadline, since_ms=job.since_ms, payer=job.payer,
            then=self._completion(job, token),
        )  # fmt: skip
        billed = False
        for draw in (partial(improve, with_image=False, glance=glance), improve):
            try:
                improved = await self._improved(job, claim, token, draw)
            except SketchError as error:
                return await self._failed(job, token, error, deadline)
            if settled := self._jobs.completed(improved.answered) or await self._completed(job, token, improved):
                await self._kept.in_archive(improved)
                return _logged_end(job, improved.outcome, *settled)
            if billed := improved.outcome == "MISS":  # Redis loses drawings at once: no second call
                break
        return await self._failed(job, token, ResultExpired(may_be_billed=billed), deadline)

    async def _exhausted(self, job: JobMessage, token: str) -> Ended:
        """Settle a job without attempts left: as `done` if a drawing is kept, which the last one may have paid for."""
        digest = self._improve.digest(job.sketch)
        if await self._kept.find_for_job(digest, since_ms=job.since_ms):
            return _logged_end(job, "HIT", *await self._jobs.complete(job, token, digest=digest, outcome="HIT"))
        status, code = await self._jobs.exhaust(job.request_id)
        if status not in SETTLED:  # Redis has lost it since the claim, or an operator has replayed it
            return Ended(Outcome.AGAIN, Code.UNAVAILABLE)
        return _ended(status, code)

    async def _improved(
        self, job: JobMessage, claim: Claim, token: str, improve: Callable[[], Awaitable[Improved]]
    ) -> Improved:
        with self._jobs.lease(job.request_id, token):
            if claim.attempt > 1 or job.generation:  # what ended the last attempt must not end this one too
                await self._improve.outwait_failure(job.sketch)
            return await improve()

    def _completion(self, job: JobMessage, token: str) -> Call | None:
        """
        Return the call to record `done` in the round trip that stores a drawing; None if results have their own Redis.

        Redis may refuse the drawing and still run this call: an older drawing must not pass for the new one.
        """
        if not self._kept.in_one_redis_with(self._jobs.store):
            return None
        digest = self._improve.digest(job.sketch)
        return self._jobs.completion(
            job, token, digest=digest, outcome="MISS", with_drawing=True, since_ms=job.since_ms
        )

    async def _completed(self, job: JobMessage, token: str, improved: Improved) -> tuple[str, str] | None:
        """Record `done`, trying for some seconds while Redis is away; return None if the drawing must be redrawn."""
        for pause_s in SAVE_PAUSES_S:
            if pause_s:
                await asyncio.sleep(pause_s)
            try:
                return await self._complete(job, token, improved)
            except StoreUnavailable:
                logs.warning("job.not_recorded", request_id=job.request_id)
        if improved.outcome != "MISS":  # no call was made here, so this was no attempt
            await self._jobs.fail(job.request_id, token, StoreUnavailable())
        raise StoreUnavailable

    async def _complete(self, job: JobMessage, token: str, improved: Improved) -> tuple[str, str] | None:
        """Record `done` and let the drawing outlive the job; store it again first if Redis lost it and we have it."""
        complete = partial(self._jobs.complete, job, token, digest=improved.digest, outcome=improved.outcome)
        if self._kept.in_one_redis_with(self._jobs.store):
            await self._kept.ensure(improved)
            status, code = await complete(with_drawing=True)
            return None if status == "gone" else (status, code)
        return await complete() if await self._kept.ensure_for_job(improved) else None

    async def _failed(self, job: JobMessage, token: str, error: SketchError, deadline: float) -> Ended:
        status, exhausted = await self._jobs.fail(job.request_id, token, error)
        logs.warning(
            "job.failed", request_id=job.request_id, code=error.code, status=status, exhausted=exhausted,
            billed=error.may_be_billed,
        )  # fmt: skip
        if status in SETTLED:
            return _ended(status, error.code)
        may_pass = isinstance(error, GeminiBusy | BudgetExceeded)
        wait_s = error.retry_after_s if status == "queued" and may_pass else None
        return Ended(Outcome.AGAIN, error.code, self._worth_waiting(wait_s or 0, deadline))

    def _worth_waiting(self, wait_s: float, deadline: float) -> float:
        """Return `wait_s` if short and a whole call fits in after it, else 0: each 503 slows the whole subscription."""
        left_s = deadline - self._clock() - wait_s
        return wait_s if wait_s <= LONGEST_WAIT_S and left_s >= self._call_timeout_s + AFTER_THE_CALL_S else 0


def _logged_end(job: JobMessage, outcome: str, status: str, code: str) -> Ended:
    logs.info("job.completed", request_id=job.request_id, outcome=outcome, status=status)
    return _ended(status, code)


def _ended(status: str, code: str) -> Ended:
    """
    Return GIVEN_UP if an operator should look at an ended job, else SETTLED, as for mistakes of its sender.

    A used-up budget is SETTLED too: it is meant to end jobs, and their senders are told when to try again.
    """
    failed = status == "error" and code != Code.BUDGET_EXCEEDED
    given_up = failed and (Code(code).retryable or code == Code.MISCONFIGURED)
    return Ended(Outcome.GIVEN_UP if given_up else Outcome.SETTLED, code)
