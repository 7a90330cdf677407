"""improve: a sketch becomes a drawing: a kept one, else a new one from Gemini, in one call for all who ask."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable

from rubydraw.drawing import Improved
from rubydraw.drawings.flights import Flights, Look
from rubydraw.drawings.glance import Glance
from rubydraw.drawings.kept import Kept
from rubydraw.errors import (
    BudgetExceeded,
    GeminiBusy,
    OutOfTime,
    SketchError,
    Stopping,
    StoreUnavailable,
    Unavailable,
)
from rubydraw.gemini.client import Gemini
from rubydraw.limits.quotas import Charge
from rubydraw.paid_call import PaidCall
from rubydraw.principal import NOBODY, Principal
from rubydraw.redis.store import Call
from rubydraw.sketch import Sketch
from rubydraw.stopping import Stop
from rubydraw.wish import Wish

POLL_S = 0.25
LONG_CALL_S = 60.0
"""Gemini takes 5 to 60 s. With that much left a follower takes over, even if its call gets less than the time-out."""
AFTER_THE_CALL_S = 5.0
"""What checking, storing and answering may take once Gemini has answered."""


class Improve:
    """
    Knows sketches and drawings, not requests, jobs or HTTP.

    Callers with the same sketch share one call: in this process they await one task, and across instances the
    flight decides who calls. No caller owns the task: a caller that goes away does not end what is already paid for.
    """

    def __init__(
        self,
        kept: Kept,
        flights: Flights,
        gemini: Gemini,
        call: PaidCall,
        stop: Stop,
        *,
        call_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kept, self._flights, self._gemini, self._call, self._stop = kept, flights, gemini, call, stop
        self._call_timeout_s, self._clock = call_timeout_s, clock
        self._in_air: dict[tuple[str, int | None], asyncio.Task[Improved]] = {}

    def digest(self, sketch: Sketch) -> str:
        """Return the digest of `sketch` under this instance's own model and prompt."""
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
        glance: Glance | None = None,
        then: Call | None = None,
    ) -> Improved:
        """
        Return the drawing of `sketch`, or raise one of our errors; `deadline`, `since_ms`, `payer`, `then` as in Wish.

        A kept drawing is read without its image (`b""`) unless `with_image`. `charge`: the request's charge against
        its caller's quota, if it has one. `glance`: a read without the image that may have been made already.
        """
        wish = Wish(self.digest(sketch), sketch, deadline, since_ms, payer, then)
        if glance and glance.taken:
            kept = glance.since(since_ms)
        else:
            kept = await self._kept.hit(wish.digest, with_image=with_image, since_ms=since_ms, charge=charge)
        if kept is not None:
            return Improved(wish.digest, kept, "HIT")
        if charge:
            await charge.pay_whole()
        while True:
            shared = self._in_air.get(wish.shared_by)
            try:
                return await self._landing(shared or self._take_off(wish), deadline, shared=bool(shared))
            except (BudgetExceeded, OutOfTime) as error:
                if not (shared and self._ends_another_alone(error, wish)):
                    raise
                await asyncio.sleep(0)  # lets `_landed` remove the task that has ended

    def _ends_another_alone(self, error: BudgetExceeded | OutOfTime, wish: Wish) -> bool:
        """Whether this caller may make a call of its own after another caller's task has ended with `error`."""
        if isinstance(error, BudgetExceeded):
            return error.account not in ("", wish.payer.account)
        return not error.may_be_billed and self._has_time_for_a_call(wish)

    def _has_time_for_a_call(self, wish: Wish) -> bool:
        return wish.deadline - self._clock() >= min(self._call_timeout_s, LONG_CALL_S) + AFTER_THE_CALL_S

    async def outwait_failure(self, sketch: Sketch) -> None:
        """Wait until the failure of this sketch's last call no longer answers callers: it was counted already."""
        await self._stop.sleep(await self._flights.failed_for_s(self.digest(sketch)))

    async def wind_up(self, grace_s: float) -> None:
        """Wait `grace_s` for calls to end; cancel the others, so that their callers get Stopping."""
        if tasks := list(self._in_air.values()):
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _take_off(self, wish: Wish) -> asyncio.Task[Improved]:
        if self._stop.requested:
            raise Stopping
        self._gemini.warm()
        task = asyncio.create_task(self._fly(wish))
        self._in_air[wish.shared_by] = task
        task.add_done_callback(lambda done: self._landed(wish, done))
        return task

    def _landed(self, wish: Wish, task: asyncio.Task[Improved]) -> None:
        del self._in_air[wish.shared_by]
        if not task.cancelled():
            task.exception()  # retrieve it: every caller may have gone, and asyncio would log it

    async def _landing(self, task: asyncio.Task[Improved], deadline: float, *, shared: bool) -> Improved:
        """Wait for this caller's own task, or for a `shared` one that another caller began."""
        try:
            async with asyncio.timeout(max(deadline - self._clock(), 0)):
                improved = await asyncio.shield(task)
        except TimeoutError:
            raise OutOfTime(may_be_billed=not shared) from None
        except asyncio.CancelledError:
            if task.cancelled():
                raise Stopping from None
            raise
        return improved._replace(outcome="COALESCED", answered=None) if shared else improved

    async def _fly(self, wish: Wish) -> Improved:
        """Lead or follow until there is a drawing or a failure."""
        token = uuid.uuid4().hex
        try:
            look, waited = await self._await_turn(wish, token)
        except StoreUnavailable:
            archived = await self._kept.archived(wish.digest, since_ms=wish.since_ms)
            return archived or await self._call.without_redis(wish)
        if not look.ours:
            if look.drawing:
                return Improved(wish.digest, look.drawing, "COALESCED" if waited else "HIT")
            raise look.failure or OutOfTime()
        failure, landed = None, False
        try:
            with self._flights.hold(wish.digest, token):
                if look.drawing:
                    return Improved(wish.digest, look.drawing, "COALESCED" if waited else "HIT")
                archived = await self._kept.archived(wish.digest, since_ms=wish.since_ms)
                improved = archived or await self._lead(wish, look, token)
                landed = not archived  # storing the drawing released the flight, or else it lapses
                return improved
        except SketchError as error:
            failure = None if _is_ours_alone(error) else error
            raise
        finally:
            if not landed:
                await asyncio.shield(self._flights.land(wish.digest, token, failure))

    async def _await_turn(self, wish: Wish, token: str) -> tuple[Look, bool]:
        """Poll until the flight is ours or has an answer; a flight is taken over only with time left for a call."""
        waited, with_image, since_ms = False, True, wish.since_ms
        while True:
            in_time = self._has_time_for_a_call(wish)
            try:
                taking = token if in_time or not waited else ""
                look = await self._flights.look(wish.digest, token=taking, with_image=with_image)
            except StoreUnavailable:
                if waited and not in_time:
                    raise OutOfTime from None
                raise
            since_ms = look.now_ms if since_ms is None else since_ms
            look = look.since(since_ms)
            if look.drawing and not with_image:
                with_image = True
                continue
            if look.ours or look.drawing or look.failure:
                return look, waited
            # Early enough to say so: once its own time is over, a caller cannot tell that no call was made.
            if wish.deadline - 2 * POLL_S <= self._clock() or (not look.taken and not in_time):
                raise OutOfTime
            waited, with_image = True, False  # four times a second, an older drawing's image would be read in vain
            await asyncio.sleep(POLL_S)

    async def _lead(self, wish: Wish, look: Look, token: str) -> Improved:
        """Ask Gemini as the flight's holder, unless `look` shows a failure or a cooldown."""
        if look.failure:
            raise look.failure
        if look.cooldown_s:
            raise GeminiBusy(retry_after_s=look.cooldown_s)
        try:
            landing = self._flights.landing(wish.digest, token)
            return await self._call(wish, now_ms=look.now_ms, blind=look.blind, landing=landing)
        except GeminiBusy as busy:
            busy.retry_after_s = await self._flights.cool_down(busy.retry_after_s)
            raise
        except SketchError as error:
            await self._flights.remember_refusal(wish.digest, error)
            raise


def _is_ours_alone(error: SketchError) -> bool:
    """Whether the error is not for followers: the leader's own reason, or the cooldown, which the next one sees too."""
    before_the_call = isinstance(error, OutOfTime) and not error.may_be_billed
    return before_the_call or isinstance(error, (Unavailable, GeminiBusy, BudgetExceeded))
