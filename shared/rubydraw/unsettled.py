"""Unsettled jobs: how many of one caller's may be queued or running at once."""

from __future__ import annotations

import time

from rubydraw import keys
from rubydraw.errors import RateLimited
from rubydraw.job_state import SETTLED
from rubydraw.principal import Principal
from rubydraw.store import Call, Script, Store

RETRY_AFTER_S = 5.0
RECORDED_WITHIN_MS = keys.MINUTE_MS
"""A place without a record is given that long: an older revision takes it before it records its job."""


class UnsettledJobs:
    """
    Places in Redis, one for each job; no job has to give its own back.

    Where all are taken the jobs themselves are looked at, and those that are settled lose theirs. So no missed
    message, no kill and no expired record holds a place. Raises StoreUnavailable when Redis cannot be reached.
    """

    def __init__(self, store: Store, *, limit: int | None, max_age_ms: int) -> None:
        self._store, self._limit, self._max_age_ms = store, limit, max_age_ms
        self._take = Script("take_place")

    def take(self, principal: Principal, request_id: str) -> Call | None:
        """Return what takes a place for a job that is about to be recorded; `refused` is for where there is none."""
        own = principal.limits.concurrent_jobs
        limit = self._limit if own is None else own
        if limit is None or not principal.account:
            return None
        return Call(self._take, [keys.unsettled(principal.account)], (request_id, limit, self._max_age_ms))

    async def refused(self, take: Call | None, *, is_final: bool) -> None:
        """Free the places of jobs that have none to have, to be tried once more; if `is_final`, raise RateLimited."""
        if take is None:
            return
        if is_final:
            raise RateLimited(
                f"{take.args[1]} of your jobs are not finished yet, which is all that may be; try again when one is.",
                retry_after_s=RETRY_AFTER_S,
            )
        await self._sweep(take.keys[0])

    async def _sweep(self, key: str) -> None:
        """Free the places of jobs that are settled or gone: once they are, they stay so."""
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
