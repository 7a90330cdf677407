"""watch: what a client is told about a job, now or as it changes, with the drawing once there is one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple

from rubydraw.drawing import Drawing
from rubydraw.drawings.results import Results, read
from rubydraw.errors import Code, RateLimited, StoreUnavailable, Unavailable
from rubydraw.jobs.message import is_request_id
from rubydraw.jobs.state import SETTLED, JobState
from rubydraw.jobs.transitions import Jobs
from rubydraw.jobs.updates import Updates

REMEMBERED = 1000
"""How many jobs read lately are remembered. A status with its drawing then takes one round trip instead of two."""


class Seen(NamedTuple):
    """A job's state; `job` is None for an unknown id, `code` is set where `status` is `error`."""

    status: str
    job: JobState | None = None
    drawing: Drawing | None = None
    code: Code | None = None

    @property
    def final(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.status in SETTLED or self.status == "not_found"

    @property
    def change(self) -> tuple[object, ...]:
        """What tells one state from the next; equal means that nothing changed."""
        return (self.status, self.job.attempt, self.job.updated_at_ms) if self.job else (self.status,)


_Asked = tuple[str, str, bool, bool]
"""Request id, owner, and whether the drawing and its image are wanted."""


class Watch:
    """
    The client side; raises StoreUnavailable if Redis cannot be read, as `not_found` is a statement about the id.

    A job of another owner is `not_found`, like one that never existed.
    """

    def __init__(self, jobs: Jobs, results: Results, updates: Updates) -> None:
        self._jobs, self._results, self._updates = jobs, results, updates
        self._digests: dict[str, str] = {}
        self._reads: dict[_Asked, asyncio.Task[Seen | StoreUnavailable]] = {}

    async def once(
        self, request_id: str, owner: str = "", *, with_drawing: bool = True, with_image: bool = True
    ) -> Seen:
        """Read the state as it is now; what was not asked for does not leave Redis."""
        digest = self._digests.get(request_id, "") if with_drawing else ""
        along = self._results.along(self._jobs.store, digest, with_image=with_image) if digest else ()
        job, found = await self._jobs.read_with(request_id, *along)
        drawing = read(*found) if found else None
        if job is None or job.owner != owner:
            return Seen("not_found")
        if job.status == "error":
            return Seen("error", job, code=Code(job.code))
        self._remember(job, early=drawing)
        if job.status != "done" or not with_drawing:
            return Seen(job.status, job)
        if not drawing or digest != job.digest:
            drawing = await self._results.get(job.digest, with_image=with_image)
        return Seen("done", job, drawing) if drawing else Seen("error", job, code=Code.RESULT_EXPIRED)

    async def follow(
        self,
        request_id: str,
        owner: str = "",
        *,
        account: str = "",
        with_drawing: bool = True,
        with_image: bool = True,
    ) -> AsyncGenerator[Seen]:
        """
        Yield the state, then each later one, up to the final one; a slow reader misses states, but not the last.

        Raises StoreUnavailable if not even the first state can be read (a later read is repeated until it succeeds),
        Unavailable if there are too many viewers, RateLimited if too many are of this account, Stopping if this
        instance is going away: the client should reconnect.
        """
        if not is_request_id(request_id):
            yield Seen("not_found")
            return
        told: tuple[object, ...] = ()
        async with self._updates.of(request_id, account) as viewer:
            while True:
                seen = await self._together((request_id, owner, with_drawing, with_image))
                if isinstance(seen, StoreUnavailable):
                    if not told:
                        raise StoreUnavailable
                elif seen.change != told:
                    told = seen.change
                    yield seen
                    if seen.final:
                        return
                await viewer.news()

    async def settled(
        self,
        request_id: str,
        owner: str = "",
        *,
        within_s: float,
        account: str = "",
        with_drawing: bool = True,
        with_image: bool = True,
    ) -> Seen | None:
        """Wait until the job is settled; return None if it is not, or if that is not known, within `within_s`."""
        states = self.follow(request_id, owner, account=account, with_drawing=with_drawing, with_image=with_image)
        try:
            async with asyncio.timeout(within_s), aclosing(states):
                async for seen in states:
                    if seen.final and seen.job:
                        return seen
        except (TimeoutError, Unavailable, RateLimited):
            pass
        return None

    def _remember(self, job: JobState, *, early: Drawing | None) -> None:
        """
        Remember the digest of a job's drawing, so that the next read asks for both at once.

        Not while the job is unfinished and a drawing is there already, such as one that it is to replace: each poll
        would transfer that drawing for nothing.
        """
        known = self._digests.pop(job.request_id, job.digest)  # and put back: the job read last is forgotten last
        self._digests[job.request_id] = job.digest if job.status == "done" else "" if early else known
        if len(self._digests) > REMEMBERED:
            del self._digests[next(iter(self._digests))]

    async def _together(self, asked: _Asked) -> Seen | StoreUnavailable:
        """Read a state once for all viewers who have just heard of it and ask for the same."""
        if asked not in self._reads:
            self._reads[asked] = asyncio.create_task(self._read(asked))
        return await asyncio.shield(self._reads[asked])

    async def _read(self, asked: _Asked) -> Seen | StoreUnavailable:
        del self._reads[asked]  # whoever asks from now on may have heard of a later state
        request_id, owner, with_drawing, with_image = asked
        try:
            return await self.once(request_id, owner, with_drawing=with_drawing, with_image=with_image)
        except StoreUnavailable as error:
            return error
