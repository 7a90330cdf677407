"""One job as a reader sees it, read in one round trip."""

from __future__ import annotations

from typing import Any, NamedTuple

from rubydraw import keys
from rubydraw.jobs import durations
from rubydraw.jobs.durations import Forecast
from rubydraw.redis.connection import Command

SETTLED = frozenset({"done", "error"})
_FIELDS = (
    "status", "digest", "outcome", "attempt", "code", "message", "retry_at", "created_at", "updated_at",
    "owner", "replayed_at",
)  # fmt: skip


class JobState(NamedTuple):
    """
    All times are in ms since 1970, 0 where there is none.

    `retry_at_ms`: when the job's next attempt is due; once it has failed, when a new job for its sketch makes sense.
    """

    request_id: str
    status: str
    digest: str
    outcome: str
    attempt: int
    code: str
    message: str
    retry_at_ms: int
    created_at_ms: int
    updated_at_ms: int
    expires_at_ms: int
    now_ms: int
    owner: str
    forecast: Forecast
    replayed_at_ms: int = 0

    @property
    def settled(self) -> bool:
        return self.status in SETTLED

    @property
    def age_ms(self) -> int:
        """How long ago the job was accepted, or last replayed."""
        return self.now_ms - max(self.created_at_ms, self.replayed_at_ms)


def commands(request_id: str) -> tuple[Command, ...]:
    """Return the commands that read a job; `read` takes their answers, of which the last may be an error."""
    key = keys.status(request_id)
    return ("HMGET", key, *_FIELDS), ("PTTL", key), ("TIME",), durations.READ


def read(request_id: str, answers: list[Any]) -> JobState | None:
    """Return the state of a job; None if there is none."""
    fields, life_ms, (seconds, micros), took = answers
    if fields[0] is None:
        return None
    status, digest, outcome, attempt, code, message, retry_at, created_at, updated_at, owner, replayed_at = (
        value.decode() if value else "" for value in fields
    )
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    state = JobState(
        request_id, status, digest, outcome, int(attempt or 0), code, message, int(retry_at or 0),
        int(created_at or 0), int(updated_at or 0), now_ms + max(life_ms, 0), now_ms, owner,
        Forecast(), int(replayed_at or 0),
    )  # fmt: skip
    if state.settled:
        return state
    return state._replace(forecast=durations.forecast(took, age_ms=state.age_ms, delay_ms=state.retry_at_ms - now_ms))
