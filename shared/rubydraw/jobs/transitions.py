"""The states of jobs: each transition is one Lua script that checks, writes, sets the time to live and announces."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, NamedTuple

from rubydraw import keys, logs
from rubydraw.drawings.glance import Glance
from rubydraw.errors import Code, SketchError, StoreUnavailable
from rubydraw.heartbeat import beating
from rubydraw.jobs import durations
from rubydraw.jobs import state as job_state
from rubydraw.jobs.message import JobMessage, is_request_id
from rubydraw.jobs.state import JobState
from rubydraw.redis.connection import Command
from rubydraw.redis.store import Call, Script, Store, raise_first


class Claim(NamedTuple):
    """
    The outcome of a claim.

    `kind`: `run` (attempt number `attempt` is ours), `settled` (nothing is left to do for this message; the job has
    `status` and `code`), `busy` (another's lease lasts `busy_ms` more), `expired` (the claim has just settled the job,
    which was too old), `surplus` (another's lease lasts, under another message for the job: this one is not needed) or
    `exhausted` (all attempts are used up, and the job is still to be settled).
    """

    kind: str
    attempt: int = 0
    busy_ms: int = 0
    status: str = ""
    code: str = ""


class Jobs:
    """The job states in Redis; every method raises StoreUnavailable when Redis cannot be reached."""

    def __init__(self, store: Store, *, lease_ms: int, heartbeat_ms: int, max_attempts: int, max_age_ms: int) -> None:
        self.store, self._heartbeat_s = store, heartbeat_ms / 1000
        self._lease_ms, self._max_attempts, self._max_age_ms = lease_ms, max_attempts, max_age_ms
        self._scripts = {name: Script("job", name) for name in _TRANSITIONS}
        self._complete = Script("job", "kept", "complete")

    async def submit(self, request_id: str, status: str, *, digest: str, owner: str, trace: str) -> tuple[str, int]:
        """Record a job as `queued` or `done` unless it is recorded; return its status and created_at in ms."""
        record = self.record(request_id, status, digest=digest, owner=owner, trace=trace)
        answer = await self.store.script(*record)
        return _text(answer[0]), int(answer[1])

    def record(self, request_id: str, status: str, *, digest: str, owner: str, trace: str, recorder: str = "") -> Call:
        """
        Return the script call of `submit`, to be run as a step of another script.

        `recorder`: a mark of the caller; the script also answers the mark of the caller that has recorded the job.
        """
        return self._call("submit", request_id, status, digest, owner, trace, recorder)

    async def abandon(self, request_id: str, code: Code, message: str) -> bool:
        """Settle a job whose publish failed; return False if a worker has it or a repeated request published it."""
        return bool(await self._move("abandon", request_id, code, message))

    async def handed_over(self, request_id: str) -> bool:
        """Keep `abandon` from settling a job that a repeated request has published; return False if it already has."""
        return bool(await self._move("handed_over", request_id))

    async def claim(self, job: JobMessage, token: str, glance: Glance | None = None) -> Claim:
        """
        Begin an attempt under a lease; a job that Redis has lost is recreated from its message.

        A `glance` is read in the same round trip.
        """
        claim = self._call(
            "claim", job.request_id, token, self._lease_ms, self._max_attempts, self._max_age_ms,
            job.created_at_ms, job.generation, job.digest, job.owner, job.traceparent, job.replayed_at_ms,
            job.message_id,
        )  # fmt: skip
        seen, (answer,) = await self.store.together(glance.commands if glance else (), claim)
        raise_first((answer,))
        if glance:
            glance.read(seen)
        match _text(answer[0]), answer[1:]:
            case "run", [attempt]:
                return Claim("run", attempt=int(attempt))
            case "busy", [busy_ms]:
                return Claim("busy", busy_ms=int(busy_ms))
            case "settled", [status, code]:
                return Claim("settled", status=_text(status), code=_text(code))
            case "expired", _:
                return Claim("expired", status="error", code=Code.EXPIRED)
            case ("surplus" | "exhausted") as kind, _:
                return Claim(kind)
        raise AssertionError(answer)

    async def exhaust(self, request_id: str) -> tuple[str, str]:
        """If a job's attempts are used up, settle it with its last error; return the status and code it then has."""
        status, code = await self._move("exhaust", request_id, self._max_attempts)
        return _text(status), _text(code)

    async def renew(self, request_id: str, token: str) -> bool:
        """Renew the lease; return False if `token` does not hold it any more."""
        return bool(await self._move("renew", request_id, token, self._lease_ms))

    async def complete(
        self, job: JobMessage, token: str, *, digest: str, outcome: str, with_drawing: bool = False
    ) -> tuple[str, str]:
        """
        Settle a job as `done` unless it is settled; return the status and code that it then has.

        `with_drawing`: the drawing is in the same Redis, and its life is extended beyond the job's. If the drawing is
        gone, the status returned is `gone` and nothing changes.
        """
        completion = self.completion(job, token, digest=digest, outcome=outcome, with_drawing=with_drawing)
        status, code = await self.store.script(*completion)
        return _text(status), _text(code)

    def completion(
        self, job: JobMessage, token: str, *, digest: str, outcome: str, with_drawing: bool, since_ms: int = 0
    ) -> Call:
        """Return the call of `complete`, to run right after storing a drawing; one older than `since_ms` is `gone`."""
        args = (
            keys.channel(job.request_id), token, digest, outcome, job.created_at_ms, job.generation, job.owner,
            job.traceparent, job.replayed_at_ms, durations.KEPT, keys.DURATIONS_MS, since_ms,
        )  # fmt: skip
        named = [keys.status(job.request_id), keys.DURATIONS, *([keys.result(digest)] if with_drawing else [])]
        return Call(self._complete, named, args)

    def completed(self, answer: Any) -> tuple[str, str] | None:
        """Return status and code from the answer to `completion`; None if it was not run, or the drawing was gone."""
        if not isinstance(answer, list) or answer[0] == b"gone":
            return None
        return _text(answer[0]), _text(answer[1])

    async def fail(self, request_id: str, token: str, error: SketchError) -> tuple[str, bool]:
        """
        End a failed attempt; return the status, and whether attempts are used up.

        The status `lost`: another worker holds the job, or Redis has lost it.
        """
        once_more = error.retryable and not error.final
        retry_ms = int((error.retry_after_s or 0) * 1000) if error.retryable else 0
        answer = await self._move(
            "fail", request_id, token, error.code, error.message, int(once_more), int(error.may_be_billed),
            retry_ms, self._max_attempts,
        )  # fmt: skip
        return _text(answer[0]), _text(answer[1]) == "1"

    async def reject(self, request_id: str, code: Code, message: str, *, generation: int, owner: str) -> None:
        """Settle a job whose message cannot be read, unless it was replayed after that message was sent."""
        await self._move("reject", request_id, code, message, generation, owner)

    async def replay(self, job: JobMessage) -> tuple[str, JobMessage]:
        """
        Queue a job from a dead letter again; return its status, and the message to publish if that is `queued`.

        `done`: it stays done. `busy`: a worker holds it. `running`: it was replayed from this dead letter before.
        """
        answer = await self._move(
            "replay", job.request_id, job.created_at_ms, job.generation, job.digest, job.owner, job.traceparent
        )
        match _text(answer[0]), answer[1:]:
            case "queued", [generation, replayed_at_ms]:
                return "queued", replace(job, generation=int(generation), replayed_at_ms=int(replayed_at_ms))
            case status, _:
                return status, job
        raise AssertionError(answer)

    def lease(self, request_id: str, token: str) -> AbstractContextManager[None]:
        """Renew our lease until the end of the block; a renewal that fails does not end the work."""
        return beating(self._heartbeat_s, lambda: self._beat(request_id, token))

    async def read(self, request_id: str) -> JobState | None:
        """Return the state of a job, settling it first if it has become too old; None if there is none."""
        state, _ = await self.read_with(request_id)
        return state

    async def read_with(self, request_id: str, *commands: Command) -> tuple[JobState | None, list[Any]]:
        """Do what `read` does, and return the answers to `commands`, sent along with it; none for an invalid id."""
        if not is_request_id(request_id):
            return None, []
        reading = job_state.commands(request_id)
        answers = await self.store.pipeline(*reading, *commands)
        own, others = answers[: len(reading)], answers[len(reading) :]
        raise_first(own[:-1])  # a foreign value under the durations' key costs the forecast alone
        state = job_state.read(request_id, own)
        too_old = state and not state.settled and state.age_ms > self._max_age_ms
        if too_old and await self._move("expire", request_id, self._max_age_ms):
            return await self.read_with(request_id, *commands)
        return state, others

    async def _beat(self, request_id: str, token: str) -> None:
        try:
            renewed = await self.renew(request_id, token)
        except StoreUnavailable:
            renewed = False
        if not renewed:
            logs.warning("job.not_renewed", request_id=request_id)

    async def _move(self, transition: str, request_id: str, *args: str | int) -> Any:
        return await self.store.script(*self._call(transition, request_id, *args))

    def _call(self, transition: str, request_id: str, *args: str | int) -> Call:
        return Call(self._scripts[transition], [keys.status(request_id)], (keys.channel(request_id), *args))


_TRANSITIONS = ("submit", "abandon", "handed_over", "claim", "exhaust", "renew", "fail", "expire", "reject", "replay")


def _text(value: bytes) -> str:
    return value.decode()
