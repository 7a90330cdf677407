"""watch: what a client is told about a job, now or as it changes, with the drawing once there is one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from rubydraw.drawing import Drawing
from rubydraw.errors import Code, StoreUnavailable, Unavailable
from rubydraw.jobs import Jobs, JobState
from rubydraw.message import is_request_id
from rubydraw.results import Results
from rubydraw.updates import Updates


@dataclass(frozen=True, slots=True)
class Seen:
    """A job's state; `job` is None for an unknown id, `code` is set where `status` is `error`."""

    status: str
    job: JobState | None = None
    drawing: Drawing | None = None
    code: Code | None = None

    @property
    def final(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.status in ("done", "error", "not_found")


class Watch:
    """The client side; raises StoreUnavailable, because `not_found` is a statement about the id."""

    def __init__(self, jobs: Jobs, results: Results, updates: Updates) -> None:
        self._jobs, self._results, self._updates = jobs, results, updates
        self._reads: dict[str, asyncio.Task[JobState | StoreUnavailable | None]] = {}

    async def once(self, request_id: str, *, with_drawing: bool = True, with_image: bool = True) -> Seen:
        """Read the state as it is now; what was not asked for does not leave Redis."""
        return await self._seen(await self._jobs.read(request_id), with_drawing, with_image)

    async def follow(
        self, request_id: str, *, with_drawing: bool = True, with_image: bool = True
    ) -> AsyncGenerator[Seen]:
        """
        Yield the state, then each later one, up to the final one; who reads slowly misses states, not the last.

        Raises StoreUnavailable where not even the first state can be read (later on it is tried until it can),
        Unavailable when there are too many viewers, Stopping when this instance is going away: then come again.
        """
        if not is_request_id(request_id):
            yield Seen("not_found")
            return
        told: tuple[object, ...] = ()
        async with self._updates.of(request_id) as viewer:
            while True:
                try:
                    job = await self._read(request_id)
                    state = (job.status, job.attempt, job.updated_at_ms) if job else (None,)
                    if state != told:
                        seen = await self._seen(job, with_drawing, with_image)
                        told = state
                        yield seen
                        if seen.final:
                            return
                except StoreUnavailable:
                    if not told:
                        raise
                await viewer.news()

    async def settled(
        self, request_id: str, *, within_s: float, with_drawing: bool = True, with_image: bool = True
    ) -> Seen | None:
        """Wait for the job to be settled; return None where that cannot be said within `within_s`."""
        states = self.follow(request_id, with_drawing=with_drawing, with_image=with_image)
        try:
            async with asyncio.timeout(within_s), aclosing(states):
                async for seen in states:
                    if seen.final and seen.job:
                        return seen
        except (TimeoutError, Unavailable):
            pass
        return None

    async def _seen(self, job: JobState | None, with_drawing: bool, with_image: bool) -> Seen:
        if job is None:
            return Seen("not_found")
        if job.status == "error":
            return Seen("error", job, code=Code(job.code))
        if job.status != "done" or not with_drawing:
            return Seen(job.status, job)
        drawing = await self._results.get(job.digest, with_image=with_image)
        return Seen("done", job, drawing) if drawing else Seen("error", job, code=Code.RESULT_EXPIRED)

    async def _read(self, request_id: str) -> JobState | None:
        """Read a job once for all viewers that have just heard of it."""
        if request_id not in self._reads:
            self._reads[request_id] = asyncio.create_task(self._read_for_all(request_id))
        job = await asyncio.shield(self._reads[request_id])
        if isinstance(job, StoreUnavailable):
            raise StoreUnavailable
        return job

    async def _read_for_all(self, request_id: str) -> JobState | StoreUnavailable | None:
        del self._reads[request_id]  # whoever comes from now on may know of a later state, and needs another read
        try:
            return await self._jobs.read(request_id)
        except StoreUnavailable as error:
            return error
