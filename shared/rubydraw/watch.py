"""watch: what a client is told about a job, with the drawing once there is one."""

from __future__ import annotations

from dataclasses import dataclass

from rubydraw.drawing import Drawing
from rubydraw.errors import Code
from rubydraw.jobs import Jobs, JobState
from rubydraw.results import Results


@dataclass(frozen=True, slots=True)
class Seen:
    """A job's state; `job` is None for an unknown id, `code` is set where `status` is `error`."""

    status: str
    job: JobState | None = None
    drawing: Drawing | None = None
    code: Code | None = None


class Watch:
    """The client side; raises StoreUnavailable, because `not_found` is a statement about the id."""

    def __init__(self, jobs: Jobs, results: Results) -> None:
        self._jobs, self._results = jobs, results

    async def once(self, request_id: str, *, with_drawing: bool = True, with_image: bool = True) -> Seen:
        """Read the state as it is now; what was not asked for does not leave Redis."""
        job = await self._jobs.read(request_id)
        if job is None:
            return Seen("not_found")
        if job.status == "error":
            return Seen("error", job, code=Code(job.code))
        if job.status != "done" or not with_drawing:
            return Seen(job.status, job)
        drawing = await self._results.get(job.digest, with_image=with_image)
        return Seen("done", job, drawing) if drawing else Seen("error", job, code=Code.RESULT_EXPIRED)
