"""submit: a checked sketch is improved while its caller waits, or becomes a job that a worker will do."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from rubydraw import logs
from rubydraw.drawing import CacheUse, Improved
from rubydraw.drawings.kept import NOT_KEPT, Kept
from rubydraw.errors import (
    BudgetExceeded,
    Code,
    Misconfigured,
    ResultExpired,
    SketchError,
    StoreUnavailable,
    Unavailable,
)
from rubydraw.improve import Improve
from rubydraw.jobs.acceptance import Acceptance
from rubydraw.jobs.idempotency import IdempotencyKeys
from rubydraw.jobs.message import JobMessage
from rubydraw.jobs.state import JobState
from rubydraw.jobs.transitions import Jobs
from rubydraw.limits.budget import log_exceeded
from rubydraw.limits.quotas import Charge
from rubydraw.pubsub import Publisher
from rubydraw.sketch import Sketch

NO_JOBS = "Background jobs are switched off here; send the sketch with async: false."


class Request(NamedTuple):
    """
    A background request. `settled`: nothing is left to do for it.

    A running job counts as settled here: its worker has all it needs. `queued_at_ms`: if it is queued already and only
    has to be published again, when it was accepted, in ms since 1970; else 0.
    """

    id: str
    settled: bool = False
    queued_at_ms: int = 0


class Submit:
    """The request side; every method raises our errors."""

    def __init__(
        self,
        improve: Improve,
        kept: Kept,
        jobs: Jobs,
        idempotency_keys: IdempotencyKeys,
        publisher: Publisher,
        accept: Acceptance,
        *,
        topic: str,
        sync_deadline_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._improve, self._kept, self._jobs = improve, kept, jobs
        self._idempotency_keys, self._publisher, self._topic = idempotency_keys, publisher, topic
        self._accept = accept
        self._sync_deadline_s, self._clock = sync_deadline_s, clock

    async def now(
        self, sketch: Sketch, charge: Charge, *, with_image: bool = True, cache: CacheUse = CacheUse.USE
    ) -> Improved:
        """Improve a sketch while the caller waits; `charge` names the caller and counts against its quota."""
        began = self._clock()
        if cache is CacheUse.ONLY:
            improved = await self._kept.only(self._improve.digest(sketch), with_image=with_image, charge=charge)
        else:
            since_ms = None if cache is CacheUse.REFRESH else 0
            deadline = began + self._sync_deadline_s
            improved = await self._improve(
                sketch, deadline=deadline, with_image=with_image, since_ms=since_ms, payer=charge.principal,
                charge=charge,
            )  # fmt: skip
            await self._kept.in_archive(improved)
        logs.info(
            "sketch.improved", outcome=improved.outcome, digest=improved.digest[:12],
            took_ms=round((self._clock() - began) * 1000),
        )  # fmt: skip
        return improved

    async def later(
        self,
        sketch: Sketch,
        charge: Charge,
        *,
        idempotency_key: str | None = None,
        cache: CacheUse = CacheUse.USE,
    ) -> str:
        """
        Record a job and publish it; return its request id.

        Record first, publish second: a worker may be faster than this. A key that was used for the same sketch
        returns the same request, and a queued job is published again, which does no harm. While the budget is used
        up no job is queued: a client that wants a new drawing after midnight has to ask again then.
        """
        if not self._topic:
            raise Misconfigured(NO_JOBS)
        request = Request(str(uuid.uuid4()))
        if idempotency_key is not None:
            request = await self._bound(_input_hash(sketch, cache), request.id, charge, idempotency_key)
        if not request.settled:
            status = await self._record(request, sketch, charge, cache)
            if idempotency_key is not None and status == "done":
                await self._idempotency_keys.shorten(charge.principal.owner, idempotency_key)
        return request.id

    async def _record(self, request: Request, sketch: Sketch, charge: Charge, cache: CacheUse) -> str:
        """Record a job unless it is recorded already, and publish it if it is queued; return its status."""
        digest, owner = self._improve.digest(sketch), charge.principal.owner
        status, created_at_ms, ours = "queued", request.queued_at_ms, False
        if not created_at_ms:
            status, created_at_ms, ours = await self._recorded(request.id, digest, charge, cache)
        logs.info("job.submitted", request_id=request.id, status=status, digest=digest[:12])
        if status == "queued":
            job = JobMessage(request.id, owner, created_at_ms, 0, digest, logs.traceparent(), sketch)
            job = replace(job, refresh=cache is CacheUse.REFRESH, payer=charge.principal)
            await self._publish(job, ours=ours)
        return status

    async def _recorded(self, request_id: str, digest: str, charge: Charge, cache: CacheUse) -> tuple[str, int, bool]:
        """
        Record a job as done if its drawing is kept, which then outlives it, else as queued if one more is allowed.

        Over the budget, an archived drawing still makes it done. Return its status and created_at in ms, and whether
        it was recorded as queued here, not by another request with the same idempotency key.
        """
        about = {"digest": digest, "owner": charge.principal.owner, "trace": logs.traceparent()}

        async def done() -> tuple[str, int, bool]:
            return *await self._jobs.submit(request_id, "done", **about), False

        if cache is CacheUse.ONLY:
            improved = await self._kept.only(digest, with_image=False, charge=charge)
            if not await self._kept.ensure_for_job(improved):
                raise ResultExpired(NOT_KEPT)
            return await done()
        drawing = None
        if cache is CacheUse.USE:
            drawing = self._kept.extend_life_call(self._jobs.store, digest)
            if drawing is None:
                await charge.pay_cached()
                if await self._kept.extend_life(digest):
                    return await done()
        recorder = uuid.uuid4().hex
        queued = self._jobs.record(request_id, "queued", **about, recorder=recorder)
        try:
            accepted = await self._accept(queued, request_id, charge, drawing=drawing)
            return accepted.status, accepted.created_at_ms, accepted.recorder == recorder
        except BudgetExceeded as full:
            archived = cache is CacheUse.USE and await self._kept.archived(digest, since_ms=0)
            if not (archived and await self._kept.extend_life(digest)):
                log_exceeded(full, digest)
                raise
            return await done()

    async def _bound(self, input_hash: bytes, new_id: str, charge: Charge, key: str) -> Request:
        """Return the request that `key` stands for: an earlier one that lives, or one with `new_id`."""
        owner, bind = charge.principal.owner, self._idempotency_keys.bind
        bound = await bind(owner, key, new_id, input_hash, charge=charge)
        if bound == new_id:
            return Request(new_id)
        earlier = await self._jobs.read(bound)
        if earlier is None:  # the request that bound the key is about to record it, or has died
            return Request(bound)
        if earlier.status == "queued":  # it passed all limits when it was accepted
            return Request(bound, queued_at_ms=earlier.created_at_ms)
        if (earlier.status == "error" and Code(earlier.code).retryable) or await self._has_lost_its_drawing(earlier):
            return Request(await bind(owner, key, new_id, input_hash, replaces=bound))
        return Request(bound, settled=True)

    async def _has_lost_its_drawing(self, job: JobState) -> bool:
        """Whether a job is done and its drawing is gone; False if Redis cannot tell."""
        try:
            return job.status == "done" and not await self._kept.extend_life(job.digest)
        except StoreUnavailable:
            return False

    async def _publish(self, job: JobMessage, *, ours: bool) -> None:
        """
        Publish the job; if that fails, settle it unless a worker has it anyway.

        A job that another request recorded stays as it is if its publish fails here: that request may have published
        it. It may also still be trying to, and is kept from settling a job that is published here.
        """
        try:
            await self._publisher.publish(self._topic, job.data(), job.attributes())
        except SketchError as error:
            if not ours or await self._jobs.abandon(job.request_id, error.code, error.message):
                raise
        else:
            if not ours and not await self._jobs.handed_over(job.request_id):
                raise Unavailable


def _input_hash(sketch: Sketch, cache: CacheUse) -> bytes:
    """Return what an idempotency key is bound to: the sketch, and which drawings may answer for it."""
    if cache is CacheUse.USE:
        return sketch.content_hash
    return hashlib.sha256(sketch.content_hash + cache.encode()).digest()
