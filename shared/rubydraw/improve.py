"""improve: a sketch becomes a drawing. Result, else flight, else Gemini; checked, stored, shared by all who ask."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from rubydraw import logs
from rubydraw.admission import Allowance, Gate
from rubydraw.drawing import Drawing
from rubydraw.errors import GeminiBusy, OutOfTime, SketchError, Stopping, StoreUnavailable, Unavailable
from rubydraw.flights import Flights, Look
from rubydraw.gemini import Gemini
from rubydraw.results import Results
from rubydraw.sketch import Sketch
from rubydraw.stopping import Stop

POLL_S = 0.25
LONG_CALL_S = 60.0
"""Gemini takes 5 to 60 s: with that left a follower takes over, though its call would be cut short of the time-out."""
AFTER_THE_CALL_S = 5.0
"""What checking, storing and answering may take once Gemini has answered."""


@dataclass(frozen=True, slots=True)
class Improved:
    """A drawing, where it is kept, and how it was come by: `HIT`, `MISS` or `COALESCED`."""

    digest: str
    drawing: Drawing
    outcome: str


class Improve:
    """
    Knows sketches and drawings, not requests, jobs or HTTP.

    Callers with the same sketch share one call: in this process they await one task, and across instances the
    flight decides who calls. The task is nobody's: a caller that goes away does not end what is already paid for.
    """

    def __init__(
        self,
        results: Results,
        flights: Flights,
        gemini: Gemini,
        gate: Gate,
        allowance: Allowance,
        stop: Stop,
        *,
        call_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._results, self._flights, self._gemini = results, flights, gemini
        self._gate, self._allowance, self._stop = gate, allowance, stop
        self._call_timeout_s, self._clock = call_timeout_s, clock
        self._in_air: dict[str, asyncio.Task[Improved]] = {}

    def digest(self, sketch: Sketch) -> str:
        """Name the drawing of `sketch` under this instance's own model and prompt."""
        return sketch.digest(model=self._gemini.model, prompt_version=self._gemini.prompt_version)

    async def __call__(self, sketch: Sketch, *, deadline: float, with_image: bool = True) -> Improved:
        """
        Return the drawing of `sketch`, or raise one of our errors; `deadline` is in seconds on this class' clock.

        A kept drawing is read without its image (`b""`) unless `with_image`.
        """
        digest = self.digest(sketch)
        if kept := await self._kept(digest, with_image):
            return Improved(digest, kept, "HIT")
        shared = self._in_air.get(digest)
        task = shared or self._take_off(digest, sketch, deadline)
        try:
            async with asyncio.timeout(max(deadline - self._clock(), 0)):
                improved = await asyncio.shield(task)
        except TimeoutError:
            raise OutOfTime(may_be_billed=not shared) from None
        except asyncio.CancelledError:
            if task.cancelled():
                raise Stopping from None
            raise
        return Improved(digest, improved.drawing, "COALESCED") if shared else improved

    async def keep(self, improved: Improved) -> bool:
        """See to it that the drawing outlives a job that names it; return False if it is gone and must be redrawn."""
        if await self._results.keep_for_a_job(improved.digest):
            return True
        if not improved.drawing.image:
            return False
        await self._results.put(improved.digest, improved.drawing)
        return True

    async def outwait_failure(self, sketch: Sketch) -> None:
        """Wait until the failure of this sketch's last call is nobody's answer any more: it was counted already."""
        await self._stop.sleep(await self._flights.failed_for_s(self.digest(sketch)))

    async def wind_up(self, grace_s: float) -> None:
        """Let calls end that end within `grace_s`, and have the callers of the others told that we are stopping."""
        if tasks := list(self._in_air.values()):
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _kept(self, digest: str, with_image: bool) -> Drawing | None:
        try:
            return await self._results.get(digest, with_image=with_image)
        except StoreUnavailable:
            return None

    def _take_off(self, digest: str, sketch: Sketch, deadline: float) -> asyncio.Task[Improved]:
        if self._stop.requested:
            raise Stopping
        self._gemini.warm()
        task = asyncio.create_task(self._fly(digest, sketch, deadline))
        self._in_air[digest] = task
        task.add_done_callback(lambda done: self._landed(digest, done))
        return task

    def _landed(self, digest: str, task: asyncio.Task[Improved]) -> None:
        del self._in_air[digest]
        if not task.cancelled():
            task.exception()  # every caller may have gone by now: then nobody else would ask

    async def _fly(self, digest: str, sketch: Sketch, deadline: float) -> Improved:
        """Lead or follow until there is a drawing or a failure."""
        token = uuid.uuid4().hex
        try:
            look, waited = await self._await_turn(digest, token, deadline)
        except StoreUnavailable:
            return await self._without_redis(digest, sketch, deadline)
        if not look.ours:
            if look.drawing:
                return Improved(digest, look.drawing, "COALESCED" if waited else "HIT")
            raise look.failure or OutOfTime()
        failure: SketchError | None = None
        try:
            async with self._flights.hold(digest, token):
                if look.drawing:
                    return Improved(digest, look.drawing, "COALESCED" if waited else "HIT")
                return await self._lead(digest, sketch, look, deadline)
        except SketchError as error:
            failure = None if _is_ours_alone(error) else error
            raise
        finally:
            await asyncio.shield(self._flights.land(digest, token, failure))

    async def _await_turn(self, digest: str, token: str, deadline: float) -> tuple[Look, bool]:
        """Poll until the flight is ours or has an answer; a flight is taken over only with time left for a call."""
        waited = False
        while True:
            left_s = deadline - self._clock()
            in_time = left_s >= min(self._call_timeout_s, LONG_CALL_S) + AFTER_THE_CALL_S
            look = await self._flights.look(digest, token=token if in_time or not waited else "")
            if look.ours or look.drawing or look.failure:
                return look, waited
            if left_s <= 0 or (not look.taken and not in_time):
                raise OutOfTime
            waited = True
            await asyncio.sleep(POLL_S)

    async def _lead(self, digest: str, sketch: Sketch, look: Look, deadline: float) -> Improved:
        """Ask Gemini, as the only one, unless what was read on taking the flight says that it is of no use."""
        if look.failure:
            raise look.failure
        if look.cooldown_s:
            raise GeminiBusy(retry_after_s=look.cooldown_s)
        if look.blind:
            self._allowance.spend()
        try:
            return await self._call(digest, sketch, look.now_ms, deadline)
        except GeminiBusy as busy:
            busy.retry_after_s = await self._flights.cool_down(busy.retry_after_s)
            raise
        except SketchError as error:
            await self._flights.remember_refusal(digest, error)
            raise

    async def _without_redis(self, digest: str, sketch: Sketch, deadline: float) -> Improved:
        """Serve without cache and without the fleet, as far as this instance's allowance goes."""
        self._allowance.spend()
        logs.warning("gemini.asked_without_redis", digest=digest[:12])
        return await self._call(digest, sketch, round(time.time() * 1000), deadline)

    async def _call(self, digest: str, sketch: Sketch, now_ms: int, deadline: float) -> Improved:
        timeout_s = min(self._call_timeout_s, deadline - self._clock() - 1)
        if timeout_s <= 0:
            raise OutOfTime
        with self._gate.admit(len(sketch.png)):
            logs.info("gemini.asked", digest=digest[:12], png_bytes=len(sketch.png))
            try:
                drawing = await self._gemini.draw(sketch, timeout_s=timeout_s, now_ms=now_ms)
            except SketchError as error:
                logs.warning("gemini.failed", digest=digest[:12], code=error.code)
                raise
        logs.info("gemini.answered", digest=digest[:12], took_ms=drawing.provider_ms, image_bytes=len(drawing.image))
        await self._results.save(digest, drawing)
        return Improved(digest, drawing, "MISS")


def _is_ours_alone(error: SketchError) -> bool:
    """Whether a leader stopped for its own reasons, or for one that the next will see anyway: the cooldown."""
    before_the_call = isinstance(error, OutOfTime) and not error.may_be_billed
    return before_the_call or isinstance(error, (Unavailable, GeminiBusy))
