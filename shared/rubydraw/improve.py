"""improve: a sketch becomes a drawing. Result, else flight, else Gemini; checked, stored, shared by all who ask."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from rubydraw import logs
from rubydraw.admission import Allowance, Gate
from rubydraw.archive import Archive
from rubydraw.budget import Bill, Budget
from rubydraw.drawing import Drawing
from rubydraw.errors import (
    BudgetExceeded,
    GeminiBusy,
    OutOfTime,
    ResultExpired,
    SketchError,
    Stopping,
    StoreUnavailable,
    Unavailable,
)
from rubydraw.flights import Flights, Look
from rubydraw.gemini import Gemini
from rubydraw.principal import NOBODY, Principal
from rubydraw.quotas import Charge
from rubydraw.results import Results
from rubydraw.sketch import Sketch
from rubydraw.stopping import Stop

POLL_S = 0.25
LONG_CALL_S = 60.0
"""Gemini takes 5 to 60 s: with that left a follower takes over, though its call would be cut short of the time-out."""
AFTER_THE_CALL_S = 5.0
"""What checking, storing and answering may take once Gemini has answered."""
NOT_KEPT = "No drawing of this sketch is kept; cache: USE draws one."


@dataclass(frozen=True, slots=True)
class Improved:
    """A drawing, where it is kept, and how it was come by: `HIT`, `MISS`, `COALESCED` or `ARCHIVE`."""

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
        archive: Archive,
        flights: Flights,
        gemini: Gemini,
        gate: Gate,
        allowance: Allowance,
        stop: Stop,
        budget: Budget,
        *,
        call_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._results, self._archive, self._flights, self._gemini = results, archive, flights, gemini
        self._gate, self._allowance, self._stop = gate, allowance, stop
        self._budget = budget
        self._call_timeout_s, self._clock = call_timeout_s, clock
        self._in_air: dict[tuple[str, int | None], asyncio.Task[Improved]] = {}

    def digest(self, sketch: Sketch) -> str:
        """Name the drawing of `sketch` under this instance's own model and prompt."""
        return sketch.digest(model=self._gemini.model, prompt_version=self._gemini.prompt_version)

    async def __call__(
        self,
        sketch: Sketch,
        *,
        deadline: float,
        with_image: bool = True,
        since_ms: int | None = 0,
        payer: Principal = NOBODY,
        charge: Charge | None = None,
    ) -> Improved:
        """
        Return the drawing of `sketch`, or raise one of our errors; `deadline` is in seconds on this class' clock.

        A kept drawing is read without its image (`b""`) unless `with_image`. One that was finished before
        `since_ms` (ms since 1970 by Redis' clock; None: before now) does not count and is replaced. `payer`: on whose
        account a call is made. `charge`: what asking counts as, where it counts.
        """
        digest = self.digest(sketch)
        if (kept := await self._kept(digest, with_image, since_ms, charge)) is not None:
            return Improved(digest, kept, "HIT")
        if charge:
            await charge.miss()
        while True:
            shared = self._in_air.get((digest, since_ms))
            task = shared or self._take_off(digest, sketch, deadline, since_ms, payer)
            try:
                return await self._landing(task, deadline, shared=bool(shared))
            except BudgetExceeded as full:
                if not shared or full.account in ("", payer.account):
                    raise  # what another may not spend, this one may: it takes over

    async def _landing(self, task: asyncio.Task[Improved], deadline: float, *, shared: bool) -> Improved:
        """Wait for a task of ours, or for one that another caller began."""
        try:
            async with asyncio.timeout(max(deadline - self._clock(), 0)):
                improved = await asyncio.shield(task)
        except TimeoutError:
            raise OutOfTime(may_be_billed=not shared) from None
        except asyncio.CancelledError:
            if task.cancelled():
                raise Stopping from None
            raise
        return replace(improved, outcome="COALESCED") if shared else improved

    async def only_kept(self, sketch: Sketch, *, with_image: bool = True, charge: Charge | None = None) -> Improved:
        """Return the kept drawing of `sketch` and never ask Gemini; raise ResultExpired where there is none."""
        digest, away = self.digest(sketch), None
        try:
            if kept := await self._results.get(digest, with_image=with_image, charge=charge):
                return Improved(digest, kept, "HIT")
        except StoreUnavailable as error:
            away = error
        if archived := await self._from_archive(digest, 0):
            return archived
        raise away or ResultExpired(NOT_KEPT)

    async def archived(self, improved: Improved) -> None:
        """Wait for the archive, a second at most: after an answer there is no CPU to go on with."""
        await self._archive.kept(improved.digest)

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

    async def _kept(self, digest: str, with_image: bool, since_ms: int | None, charge: Charge | None) -> Drawing | None:
        if since_ms is None:
            if charge:
                await charge.enter()
            return None
        try:
            kept = await self._results.get(digest, with_image=with_image, charge=charge)
        except StoreUnavailable:
            return None
        return kept if kept and kept.created_at_ms >= since_ms else None

    async def _from_archive(self, digest: str, since_ms: int | None) -> Improved | None:
        """Return what the archive has that counts, and put it back into Redis."""
        drawing = None if since_ms is None else await self._archive.get(digest)
        if drawing is None or drawing.created_at_ms < (since_ms or 0):
            return None
        with suppress(StoreUnavailable):  # the archive has it all the same
            await self._results.put(digest, drawing)
        return Improved(digest, drawing, "ARCHIVE")

    def _take_off(
        self, digest: str, sketch: Sketch, deadline: float, since_ms: int | None, payer: Principal
    ) -> asyncio.Task[Improved]:
        if self._stop.requested:
            raise Stopping
        self._gemini.warm()
        task = asyncio.create_task(self._fly(digest, sketch, deadline, since_ms, payer))
        self._in_air[digest, since_ms] = task
        task.add_done_callback(lambda done: self._landed((digest, since_ms), done))
        return task

    def _landed(self, flight: tuple[str, int | None], task: asyncio.Task[Improved]) -> None:
        del self._in_air[flight]
        if not task.cancelled():
            task.exception()  # every caller may have gone by now: then nobody else would ask

    async def _fly(
        self, digest: str, sketch: Sketch, deadline: float, since_ms: int | None, payer: Principal
    ) -> Improved:
        """Lead or follow until there is a drawing or a failure."""
        token = uuid.uuid4().hex
        try:
            look, waited = await self._await_turn(digest, token, deadline, since_ms)
        except StoreUnavailable:
            return await self._without_redis(digest, sketch, deadline, since_ms)
        if not look.ours:
            if look.drawing:
                return Improved(digest, look.drawing, "COALESCED" if waited else "HIT")
            raise look.failure or OutOfTime()
        failure: SketchError | None = None
        try:
            async with self._flights.hold(digest, token):
                if look.drawing:
                    return Improved(digest, look.drawing, "COALESCED" if waited else "HIT")
                if archived := await self._from_archive(digest, since_ms):
                    return archived
                return await self._lead(digest, sketch, look, deadline, payer)
        except SketchError as error:
            failure = None if _is_ours_alone(error) else error
            raise
        finally:
            await asyncio.shield(self._flights.land(digest, token, failure))

    async def _await_turn(self, digest: str, token: str, deadline: float, since_ms: int | None) -> tuple[Look, bool]:
        """Poll until the flight is ours or has an answer; a flight is taken over only with time left for a call."""
        waited = False
        while True:
            left_s = deadline - self._clock()
            in_time = left_s >= min(self._call_timeout_s, LONG_CALL_S) + AFTER_THE_CALL_S
            look = await self._flights.look(digest, token=token if in_time or not waited else "")
            since_ms = look.now_ms if since_ms is None else since_ms
            look = look.since(since_ms)
            if look.ours or look.drawing or look.failure:
                return look, waited
            if left_s <= 0 or (not look.taken and not in_time):
                raise OutOfTime
            waited = True
            await asyncio.sleep(POLL_S)

    async def _lead(self, digest: str, sketch: Sketch, look: Look, deadline: float, payer: Principal) -> Improved:
        """Ask Gemini, as the only one, unless what was read on taking the flight says that it is of no use."""
        if look.failure:
            raise look.failure
        if look.cooldown_s:
            raise GeminiBusy(retry_after_s=look.cooldown_s)
        if look.blind:
            self._allowance.spend()
        try:
            return await self._call(digest, sketch, look.now_ms, deadline, payer)
        except GeminiBusy as busy:
            busy.retry_after_s = await self._flights.cool_down(busy.retry_after_s)
            raise
        except SketchError as error:
            await self._flights.remember_refusal(digest, error)
            raise

    async def _without_redis(self, digest: str, sketch: Sketch, deadline: float, since_ms: int | None) -> Improved:
        """Serve from the archive, or without cache and fleet as far as this instance's allowance goes."""
        if archived := await self._from_archive(digest, since_ms):
            return archived
        self._budget.check_known()
        self._allowance.spend()
        logs.warning("gemini.asked_without_redis", digest=digest[:12])
        return await self._call(digest, sketch, round(time.time() * 1000), deadline, None)

    async def _call(
        self, digest: str, sketch: Sketch, now_ms: int, deadline: float, payer: Principal | None
    ) -> Improved:
        """Make the call, on the account of `payer`; None: on nobody's, because nothing can be counted."""
        with self._gate.admit(len(sketch.png)):
            await self._gemini.load()
            timeout_s = min(self._call_timeout_s, deadline - self._clock() - 1)
            if timeout_s <= 0:
                raise OutOfTime
            bill = await self._reserve(digest, payer)
            logs.info("gemini.asked", digest=digest[:12], png_bytes=len(sketch.png))
            try:
                drawing = await self._gemini.draw(sketch, timeout_s=timeout_s, now_ms=now_ms, used=bill.used)
            except SketchError as error:
                logs.warning("gemini.failed", digest=digest[:12], code=error.code)
                await asyncio.shield(self._budget.settle(bill, error))
                raise
            await asyncio.shield(self._budget.settle(bill))
        logs.info("gemini.answered", digest=digest[:12], took_ms=drawing.provider_ms, image_bytes=len(drawing.image))
        self._archive.begin_keeping(digest, drawing)
        await self._results.save(digest, drawing)
        return Improved(digest, drawing, "MISS")

    async def _reserve(self, digest: str, payer: Principal | None) -> Bill:
        """Pay for a call in advance; where nothing can be counted, it is one of this instance's allowance."""
        if payer is None:
            return Bill()
        try:
            return await self._budget.reserve(payer)
        except BudgetExceeded as full:
            logs.warning("budget.exceeded", digest=digest[:12], of="caller" if full.account else "all")
            raise
        except StoreUnavailable:
            self._budget.check_known()
            self._allowance.spend()
            return Bill()


def _is_ours_alone(error: SketchError) -> bool:
    """Whether a leader stopped for its own reasons, or for one that the next will see anyway: the cooldown."""
    before_the_call = isinstance(error, OutOfTime) and not error.may_be_billed
    return before_the_call or isinstance(error, (Unavailable, GeminiBusy, BudgetExceeded))
