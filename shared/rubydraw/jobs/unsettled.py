"""Unsettled jobs: how many jobs of one caller may be queued or running at once."""

from __future__ import annotations

import time

from rubydraw import keys
from rubydraw.errors import RateLimited
from rubydraw.jobs.state import SETTLED
from rubydraw.principal import Principal
from rubydraw.redis.store import Call, Script, Store

RETRY_AFTER_S = 5.0
RECORDED_WITHIN_MS = keys.MINUTE_MS
"""How long a place may lack its job's record: an older revision takes the place before it records the job."""


class UnsettledJobs:
    """
    Places in Redis, one for each job; no job has to give its own back.

    When all are taken, the jobs' records are read, and jobs that are settled or gone lose their places. So no missed
    message, killed process or expired record holds a place. Raises StoreUnavailable when Redis cannot be reached.
    """

    def __init__(self, store: Store, *, limit: int | None, max_age_ms: int) -> None:
        self._store, self._limit, self._max_age_ms = store, limit, max_age_ms
        self._take = Script("take_place")

    def take(self, principal: Principal, request_id: str) -> Call | None:
        """Return the script call that takes a place for a job about to be recorded; call `refused` if it finds none."""
        own = principal.limits.concurrent_jobs
        limit = self._limit if own is None else own
        if limit is None or not principal.account:
            return None
        return Call(self._take, [keys.unsettled(principal.account)], (request_id, limit, self._max_age_ms))

    async def refused(self, take: Call | None, *, is_final: bool) -> None:
        """Free the places of settled jobs, so that `take` can be tried once more; if `is_final`, raise RateLimited."""
        if take is None:
            return
        if is_final:
            raise RateLimited(
                f"At most {take.args[1]} of your jobs may be unfinished at a time; try again when one has finished.",
                retry_after_s=RETRY_AFTER_S,
            )
        await self._sweep(take.keys[0])

    async def _sweep(self, key: str) -> None:
        """Free the places of jobs that are settled or gone: they stay so, unless an operator replays them."""
        taken = await self._store.command("ZRANGE", key, 0, -1, "WITHSCORES")
        ids = [request_id.decode() for request_id, _ in taken]
        if not ids:
            return
        answers = await self._store.pipeline(*(("HGET", keys.status(each), "status") for each in ids))
        new_ms = time.time() * 1000 + self._max_age_ms - RECORDED_WITHIN_MS
        gone = [
            request_id
            for request_id, (_, until_ms), status in zip(ids, taken, answers, strict=True)
            if (status is None and until_ms < new_ms) or (isinstance(status, bytes) and status.decode() in SETTLED)
        ]
        if gone:
            await self._store.command("ZREM", key, *gone)
