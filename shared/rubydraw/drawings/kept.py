"""Kept drawings, in two tiers: Redis, and behind it the archive, from which Redis is filled again."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from rubydraw.drawing import Drawing, Improved
from rubydraw.drawings.archive import Archive
from rubydraw.drawings.glance import Glance
from rubydraw.drawings.results import Results
from rubydraw.errors import ResultExpired, StoreUnavailable
from rubydraw.limits.quotas import Charge
from rubydraw.redis.store import Call, Store

NOT_KEPT = "No drawing of this sketch is kept; send it with cache: USE to have it drawn."


class Kept:
    """Reads and keeps drawings; skips a tier that cannot be reached wherever the other one suffices."""

    def __init__(self, results: Results, archive: Archive) -> None:
        self._results, self._archive = results, archive

    def glance(self, digest: str, store: Store) -> Glance:
        """Return a read to send along with a round trip to `store`; an empty one if the drawing is kept elsewhere."""
        return Glance(self._results.along(store, digest, with_image=False))

    async def hit(
        self, digest: str, *, with_image: bool, since_ms: int | None, charge: Charge | None
    ) -> Drawing | None:
        """Return the drawing in Redis unless older than `since_ms` (None: now); `charge` is paid with the read."""
        if since_ms is None:
            if charge:
                await charge.pay_cached()
            return None
        try:
            found = await self._results.get(digest, with_image=with_image, charge=charge)
        except StoreUnavailable:
            return None
        return found if found and found.created_at_ms >= since_ms else None

    async def only(self, digest: str, *, with_image: bool = True, charge: Charge | None = None) -> Improved:
        """Return the drawing that either tier has; raise ResultExpired if neither has one. Gemini is never asked."""
        away = None
        try:
            if found := await self._results.get(digest, with_image=with_image, charge=charge):
                return Improved(digest, found, "HIT")
        except StoreUnavailable as error:
            away = error
        if archived := await self._from_archive(digest, since_ms=0):
            return archived
        raise away or ResultExpired(NOT_KEPT)

    async def archived(self, digest: str, *, since_ms: int | None) -> Improved | None:
        """Return the archived drawing if new enough, and put it back into Redis; None if the archive cannot be read."""
        with suppress(StoreUnavailable):
            return None if since_ms is None else await self._from_archive(digest, since_ms=since_ms)
        return None

    async def _from_archive(self, digest: str, *, since_ms: int) -> Improved | None:
        drawing = await self._archive.get(digest)
        if drawing is None or drawing.created_at_ms < since_ms:
            return None
        with suppress(StoreUnavailable):  # the archive has it all the same
            await self._results.put(digest, drawing)
        return Improved(digest, drawing, "ARCHIVE")

    async def keep(self, digest: str, drawing: Drawing, *then: Call | None, state: Store) -> list[Any]:
        """Keep a drawing in Redis (`then` as in Results.save), and begin to archive it; `in_archive` waits for that."""
        self._archive.begin_keeping(digest, drawing)
        return await self._results.save(digest, drawing, *then, state=state)

    async def in_archive(self, improved: Improved) -> None:
        """Wait until a drawing is archived, a second at most: once the answer is sent, the instance has no CPU."""
        await self._archive.written(improved.digest)

    async def extend_life(self, digest: str) -> bool:
        """Extend a drawing's life beyond that of a job about to refer to it; return False if the drawing is gone."""
        return await self._results.extend_life(digest)

    def extend_life_call(self, store: Store, digest: str) -> Call | None:
        """Return the call of `extend_life`, as a step of a script on `store`; None if results have their own Redis."""
        return self._results.extend_life_call(digest) if self.in_one_redis_with(store) else None

    async def find_for_job(self, digest: str, *, since_ms: int) -> bool:
        """
        Return whether either tier, or this process, has a drawing new enough for a job that is about to refer to it.

        If so, it outlives the job. Raises StoreUnavailable if Redis, or the archive where needed, cannot be reached.
        """
        await self._results.put_held(digest)
        if await self.extend_life(digest):
            found = await self._results.get(digest, with_image=False)
            if found and found.created_at_ms >= since_ms:
                return True
        archived = await self._from_archive(digest, since_ms=since_ms)
        return bool(archived) and await self.extend_life(digest)

    async def ensure_for_job(self, improved: Improved) -> bool:
        """`ensure` the drawing of a job, and extend its life beyond that of the job; return False if it is gone."""
        await self.ensure(improved)
        return await self.extend_life(improved.digest)

    async def ensure(self, improved: Improved) -> None:
        """Before a job is `done`, store its drawing, if it is in hand, where Redis has none or an older one."""
        await self._results.put_held(improved.digest)
        drawn = improved.drawing
        if drawn.image:
            kept = await self._results.get(improved.digest, with_image=False)
            if not kept or kept.created_at_ms < drawn.created_at_ms:
                await self._results.put(improved.digest, drawn)

    def in_one_redis_with(self, store: Store) -> bool:
        return self._results.store is store
