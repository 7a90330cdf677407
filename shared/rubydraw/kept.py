"""Kept drawings, in two tiers: Redis, and behind it the archive, which fills Redis again."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from rubydraw.archive import Archive
from rubydraw.drawing import Drawing, Improved
from rubydraw.errors import ResultExpired, StoreUnavailable
from rubydraw.glance import Glance
from rubydraw.quotas import Charge
from rubydraw.results import Results
from rubydraw.store import Call, Store

NOT_KEPT = "No drawing of this sketch is kept; cache: USE draws one."


class Kept:
    """Reads and keeps drawings; a tier that is away is passed over wherever the other can do."""

    def __init__(self, results: Results, archive: Archive) -> None:
        self._results, self._archive = results, archive

    def glance(self, digest: str, store: Store) -> Glance:
        """Return a look that travels with a round trip to `store`, where results are there too."""
        return Glance(self._results.along(store, digest, with_image=False))

    async def hit(
        self, digest: str, *, with_image: bool, since_ms: int | None, charge: Charge | None
    ) -> Drawing | None:
        """Return what Redis has that counts, and count the read: `charge` travels with it."""
        if since_ms is None:
            if charge:
                await charge.enter()
            return None
        try:
            found = await self._results.get(digest, with_image=with_image, charge=charge)
        except StoreUnavailable:
            return None
        return found if found and found.created_at_ms >= since_ms else None

    async def only(self, digest: str, *, with_image: bool = True, charge: Charge | None = None) -> Improved:
        """Return what either tier has; raise ResultExpired where neither has it, so that nobody is asked for it."""
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
        """Return what the archive has that counts, and put it back into Redis; nothing where that cannot be said."""
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
        """Keep a new drawing in Redis, `then` as Results.save; the archive begins to, and `in_archive` waits for it."""
        self._archive.begin_keeping(digest, drawing)
        return await self._results.save(digest, drawing, *then, state=state)

    async def in_archive(self, improved: Improved) -> None:
        """Wait for the archive, a second at most: after an answer there is no CPU to go on with."""
        await self._archive.kept(improved.digest)

    async def for_a_job(self, digest: str) -> bool:
        """Stretch a drawing's life beyond that of a job that is about to name it; return False if it is gone."""
        return await self._results.keep_for_a_job(digest)

    def for_a_job_in(self, store: Store, digest: str) -> Call | None:
        """Return the same as a step of a script on `store`; None where results have a Redis of their own."""
        return self._results.keeping(digest) if self.in_one_redis_with(store) else None

    async def there(self, digest: str, *, since_ms: int) -> bool:
        """
        Return whether either tier, or this process, has a drawing that counts, for a job that is about to name it.

        It then outlives the job. Raises StoreUnavailable where nobody can say so.
        """
        await self._results.put_held(digest)
        if await self.for_a_job(digest):
            found = await self._results.get(digest, with_image=False)
            if found and found.created_at_ms >= since_ms:
                return True
        archived = await self._from_archive(digest, since_ms=since_ms)
        return bool(archived) and await self.for_a_job(digest)

    async def for_the_job(self, improved: Improved) -> bool:
        """The same for what a job has just got; what is in hand is kept anew. False: it must be redrawn."""
        await self.ensure(improved)
        return await self.for_a_job(improved.digest)

    async def ensure(self, improved: Improved) -> None:
        """Have Redis keep what was drawn for a job before the job is `done`: an older drawing must not pass for it."""
        await self._results.put_held(improved.digest)
        drawn = improved.drawing
        if drawn.image:
            kept = await self._results.get(improved.digest, with_image=False)
            if not kept or kept.created_at_ms < drawn.created_at_ms:
                await self._results.put(improved.digest, drawn)

    def in_one_redis_with(self, store: Store) -> bool:
        return self._results.store is store
