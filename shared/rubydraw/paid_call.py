"""One call to Gemini: admitted, paid in advance, made, settled by its usage, and its drawing kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from rubydraw import logs
from rubydraw.drawing import Drawing, Improved
from rubydraw.drawings.kept import Kept
from rubydraw.errors import BudgetExceeded, GeminiFailed, OutOfTime, SketchError, Stopping, StoreUnavailable
from rubydraw.gemini.client import Gemini
from rubydraw.limits.admission import Allowance, Gate
from rubydraw.limits.budget import Bill, Budget, log_exceeded
from rubydraw.redis.store import Call
from rubydraw.stopping import Stop
from rubydraw.wish import Wish


class PaidCall:
    """The only way to Gemini. The caller must first make sure that nobody else calls for the same sketch."""

    def __init__(
        self,
        gemini: Gemini,
        gate: Gate,
        budget: Budget,
        allowance: Allowance,
        kept: Kept,
        stop: Stop,
        *,
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gemini, self._gate, self._budget, self._allowance, self._kept = gemini, gate, budget, allowance, kept
        self._stop, self._timeout_s, self._clock = stop, timeout_s, clock

    async def __call__(self, wish: Wish, *, now_ms: int, blind: bool, landing: Call) -> Improved:
        """
        Make the call on the payer's account, or raise one of our errors; `now_ms` is Redis' time.

        `blind`: the results' Redis cannot be reached or takes no more drawings, so the call also counts against this
        instance's allowance. `landing` releases the caller's flight, right after the drawing has been stored.
        """
        return await self._made(wish, now_ms, self._reserve_blindly if blind else self._reserve, landing)

    async def without_redis(self, wish: Wish) -> Improved:
        """
        Make the call within this instance's allowance, as the flight could not be taken.

        A Redis that is only full still reserves its price; without Redis no budget is known, and nobody's account pays.
        """
        return await self._made(wish, round(time.time() * 1000), self._reserve_blindly)

    async def _made(
        self, wish: Wish, now_ms: int, pay: Callable[[Wish], Awaitable[Bill]], landing: Call | None = None
    ) -> Improved:
        digest = wish.digest[:12]
        with self._gate.admit(len(wish.sketch.png)):
            await self._gemini.load()
            timeout_s = min(self._timeout_s, wish.deadline - self._clock() - 1)
            if timeout_s <= 0:
                raise OutOfTime
            if self._stop.requested:  # while we imported the SDK or waited for another's flight
                raise Stopping
            try:
                bill = await pay(wish)
            except BudgetExceeded as full:
                log_exceeded(full, wish.digest)
                raise
            logs.info("gemini.asked", digest=digest, png_bytes=len(wish.sketch.png))
            try:
                drawing = await self._gemini.draw(wish.sketch, timeout_s=timeout_s, now_ms=now_ms, used=bill.used)
            except SketchError as error:
                logs.warning("gemini.failed", digest=digest, code=error.code)
                await asyncio.shield(self._budget.settle(bill, error))
                raise
        logs.info("gemini.answered", digest=digest, took_ms=drawing.provider_ms, image_bytes=len(drawing.image))
        answered = await asyncio.shield(self._keep(wish, drawing, bill, landing))
        return Improved(wish.digest, drawing, "MISS", answered)

    async def _keep(self, wish: Wish, drawing: Drawing, bill: Bill, landing: Call | None) -> Any:
        """Store a drawing, settle its bill, release its flight (whoever is next finds it), then run `wish.then`."""
        settlement = self._budget.settlement(bill)
        settled, _, answered = await self._kept.keep(
            wish.digest, drawing, settlement, landing, wish.then, state=self._budget.store
        )
        if settlement:
            self._budget.settled(settlement, settled)
        return answered

    async def _reserve(self, wish: Wish) -> Bill:
        try:
            return await self._budget.reserve(wish.payer)
        except StoreUnavailable:
            return await self._from_allowance(wish)

    async def _reserve_blindly(self, wish: Wish) -> Bill:
        """Reserve the price and spend one call of the allowance, or do neither."""
        bill = await self._reserve(wish)
        if bill.token:  # without a token, the allowance has paid already
            try:
                self._allowance.spend()
            except StoreUnavailable:
                await asyncio.shield(self._budget.settle(bill, GeminiFailed(may_be_billed=False)))
                raise
        return bill

    async def _from_allowance(self, wish: Wish) -> Bill:
        self._budget.check_known(wish.payer)
        self._allowance.spend()
        logs.warning("gemini.asked_without_redis", digest=wish.digest[:12])
        return Bill()
