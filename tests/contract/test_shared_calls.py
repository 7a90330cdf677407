"""Callers of one process who share a call: what ends it for one of them alone does not end it for the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.drawing import Drawing, Improved
from rubydraw.drawings.archive import Archive
from rubydraw.drawings.flights import Flights, Look
from rubydraw.drawings.kept import Kept
from rubydraw.drawings.results import Results
from rubydraw.errors import BudgetExceeded, OutOfTime, Stopping, StoreUnavailable
from rubydraw.gemini.client import Gemini
from rubydraw.improve import AFTER_THE_CALL_S, LONG_CALL_S, POLL_S, Improve
from rubydraw.limits.admission import Allowance, Gate
from rubydraw.limits.budget import Budget, spent_today
from rubydraw.limits.quotas import Charge
from rubydraw.paid_call import PaidCall
from rubydraw.principal import NOBODY, Principal
from rubydraw.redis.store import Store
from rubydraw.settings import Settings
from rubydraw.stopping import Stop

from tests.sketches import drawing, now_ms, png, sketch
from tests.stand_ins import GeminiStandIn

POOR, RICH = Principal(account="poor"), Principal(account="rich")
SETTINGS = {"REDIS_URL": "redis://nowhere", "GEMINI_API_KEY": "k", "PRINCIPAL_DAILY_CALLS": "1"}
ENOUGH_S = 150.0


class LateKept(Kept):
    """Counts the reads, and holds their answers back as long as `waits` says so."""

    reads = 0
    waits: Callable[[], bool] = staticmethod(lambda: False)

    async def hit(
        self, digest: str, *, with_image: bool, since_ms: int | None, charge: Charge | None
    ) -> Drawing | None:
        found = await super().hit(digest, with_image=with_image, since_ms=since_ms, charge=charge)
        while self.waits():
            await asyncio.sleep(0)
        self.reads += 1
        return found


class Process:
    """One process' way to Gemini, with a clock that a test moves."""

    def __init__(self, store: Store, results: Results, flights: Flights, gemini: Gemini) -> None:
        settings = Settings.from_env(SETTINGS)
        self.now_s = 0.0
        self.kept, self.stop, self.budget = LateKept(results, Archive(settings)), Stop(), Budget(store, settings)
        call = PaidCall(
            gemini, Gate(10), self.budget, Allowance(0), self.kept, self.stop, timeout_s=120, clock=lambda: self.now_s
        )
        self.improve = Improve(
            self.kept, flights, gemini, call, self.stop, call_timeout_s=120, clock=lambda: self.now_s
        )

    def asks(
        self, payer: Principal = NOBODY, *, deadline: float = ENOUGH_S, since_ms: int = 0
    ) -> asyncio.Task[Improved]:
        return asyncio.create_task(self.improve(sketch(), deadline=deadline, payer=payer, since_ms=since_ms))

    async def until_shared_by(self, count: int) -> asyncio.Task[Improved]:
        """Wait until so many have looked for the drawing, and wait for one and the same task; return that."""
        async with asyncio.timeout(10):
            while self.kept.reads < count or not self.improve._in_air:
                await asyncio.sleep(0.01)
        (task,) = self.improve._in_air.values()
        return task


@pytest.fixture
def process(store: Store, results: Results, flights: Flights, gemini: Gemini) -> Process:
    return Process(store, results, flights, gemini)


async def test_who_comes_as_anothers_budget_ends_the_call_makes_it(
    process: Process, gemini_stand_in: GeminiStandIn
) -> None:
    """In the very turn of the loop in which that task ends; asked for ever again it would never be a new one."""
    await process.budget.reserve(POOR)
    poor = process.asks(POOR)
    task = await process.until_shared_by(1)
    process.kept.waits = lambda: not task.done()
    rich = process.asks(RICH)
    with pytest.raises(BudgetExceeded):
        await poor
    assert "MISS" == (await rich).outcome
    assert 1 == await gemini_stand_in.calls()


async def test_who_has_time_for_a_call_does_not_end_with_who_has_not(
    process: Process, flights: Flights, raw: redis.asyncio.Redis
) -> None:
    """The flight of another instance lapses when it is too late for the one who has waited for long."""
    digest = process.improve.digest(sketch())
    await flights.look(digest, token="another instance")
    old = process.asks(deadline=LONG_CALL_S + AFTER_THE_CALL_S)
    await process.until_shared_by(1)
    young = process.asks()
    await process.until_shared_by(2)
    process.now_s = 1.0
    await raw.delete(keys.flight(digest))
    with pytest.raises(OutOfTime):
        await old
    assert "MISS" == (await young).outcome


async def test_who_waits_for_another_instance_until_it_is_too_late_has_made_no_call(
    process: Process, flights: Flights
) -> None:
    """Its end is told before the time is up: from outside it would look like a call that was cut short."""
    await flights.look(process.improve.digest(sketch()), token="another instance")
    process.now_s = ENOUGH_S - 2 * POLL_S
    with pytest.raises(OutOfTime) as late:
        await process.asks()
    assert not late.value.may_be_billed


async def test_who_loses_redis_while_waiting_makes_no_call_without_time_for_it(
    process: Process, flights: Flights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be paid for, and cut off."""
    look = flights.look
    await look(process.improve.digest(sketch()), token="another instance")

    async def looked(digest: str, *, token: str, with_image: bool) -> Look:
        if process.now_s:
            raise StoreUnavailable
        process.now_s = 100.0
        return await look(digest, token=token, with_image=with_image)

    monkeypatch.setattr(flights, "look", looked)
    with pytest.raises(OutOfTime) as late:
        await process.asks()
    assert not late.value.may_be_billed


async def test_who_waits_for_a_newer_drawing_does_not_read_the_older_ones_image_again(
    process: Process, flights: Flights, results: Results, raw: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four times a second; the image of the newer one is read once it is there."""
    large = png() + bytes(1_000_000)
    digest = process.improve.digest(sketch())
    await results.put(digest, drawing(image=large, created_at_ms=now_ms() - 60_000))
    await flights.look(digest, token="another instance")
    monkeypatch.setattr("rubydraw.improve.POLL_S", 0.01)
    looks, look = [], flights.look

    async def looked(digest: str, **how: Any) -> Look:
        seen = await look(digest, **how)
        looks.append(seen.drawing and len(seen.drawing.image))
        return seen

    monkeypatch.setattr(flights, "look", looked)
    asking = process.asks(since_ms=now_ms() - 1000)
    async with asyncio.timeout(10):
        while len(looks) < 5:
            await asyncio.sleep(0.01)
    await results.put(digest, newer := drawing(title="new", image=large))
    assert newer == (await asking).drawing
    assert [len(large), *[0] * (len(looks) - 2), len(large)] == looks


async def test_no_call_begins_after_a_stop(
    process: Process,
    store: Store,
    raw: redis.asyncio.Redis,
    gemini: Gemini,
    gemini_stand_in: GeminiStandIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not even for who was let in before, and waited for the SDK; nothing is paid, and the flight is free."""
    load = gemini.load

    async def stopped_meanwhile() -> object:
        client = await load()
        process.stop._event.set()
        return client

    monkeypatch.setattr(gemini, "load", stopped_meanwhile)
    with pytest.raises(Stopping):
        await process.asks()
    assert (0, 0) == (await gemini_stand_in.calls(), (await spent_today(store)).calls)
    assert not await raw.exists(keys.flight(process.improve.digest(sketch())))
