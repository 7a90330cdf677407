"""One call of Gemini as it is paid for: what stays spent, who may not call, and what outlives a stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager

import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.drawings.archive import Archive
from rubydraw.drawings.flights import Flights
from rubydraw.drawings.kept import Kept
from rubydraw.drawings.results import Results
from rubydraw.errors import BudgetExceeded, GeminiBusy, GeminiFailed, Stopping, StoreUnavailable
from rubydraw.gemini.client import Gemini
from rubydraw.improve import Improve
from rubydraw.jobs.transitions import Jobs
from rubydraw.limits.admission import Allowance, Gate
from rubydraw.limits.budget import Budget, spent_today
from rubydraw.paid_call import PaidCall
from rubydraw.principal import NOBODY, Limits, Principal
from rubydraw.redis.store import Store, connect
from rubydraw.settings import Settings
from rubydraw.stopping import Stop
from rubydraw.wish import Wish
from rubydraw.work import Outcome, Work

from tests.servers import free_port
from tests.sketches import drawing, job, sketch
from tests.stand_ins import GeminiStandIn

SETTINGS = {"REDIS_URL": "redis://nowhere", "GEMINI_API_KEY": "k"}


def ways(
    store: Store, results: Results, gemini: Gemini, *, allowance: int = 0, **settings: str
) -> tuple[PaidCall, Kept, Budget, Stop]:
    read = Settings.from_env(SETTINGS | settings)
    kept, budget, stop = Kept(results, Archive(read)), Budget(store, read), Stop()
    return PaidCall(gemini, Gate(10), budget, Allowance(allowance), kept, stop, timeout_s=120), kept, budget, stop


def improve_of(store: Store, results: Results, flights: Flights, gemini: Gemini, *, allowance: int = 0) -> Improve:
    call, kept, _, stop = ways(store, results, gemini, allowance=allowance)
    return Improve(kept, flights, gemini, call, stop, call_timeout_s=120)


async def test_a_call_that_fails_unbilled_is_given_back(
    store: Store, results: Results, flights: Flights, gemini: Gemini, gemini_stand_in: GeminiStandIn
) -> None:
    """A refused one costs nothing and counts as a call."""
    await gemini_stand_in.fail("status", status=429, retry_after_s=1)
    with pytest.raises(GeminiBusy):
        await improve_of(store, results, flights, gemini)(sketch(), deadline=time.monotonic() + 150)
    assert (1, 0.0) == await spent_today(store)


async def test_a_budget_seen_used_up_is_called_out_of_by_no_allowance(
    store: Store, results: Results, gemini: Gemini, gemini_stand_in: GeminiStandIn
) -> None:
    """An instance that knows makes no call while Redis is away."""
    call, _, budget, _ = ways(store, results, gemini, allowance=5, DAILY_CALLS="1")
    await budget.reserve(NOBODY)
    with pytest.raises(BudgetExceeded):
        await budget.reserve(NOBODY)
    with pytest.raises(BudgetExceeded):
        await call.without_redis(Wish("ab" * 32, sketch(), time.monotonic() + 150, 0, NOBODY))
    assert 0 == await gemini_stand_in.calls()


async def test_while_redis_is_full_a_call_is_counted_twice_over(
    store: Store,
    results: Results,
    flights: Flights,
    gemini: Gemini,
    gemini_stand_in: GeminiStandIn,
    raw: redis.asyncio.Redis,
) -> None:
    """In the budgets, and against the allowance, as nobody can take its flight; who finds none left pays nothing."""
    await raw.config_set("maxmemory-policy", "noeviction")
    await raw.config_set("maxmemory", "1")
    improve = improve_of(store, results, flights, gemini, allowance=1)
    assert "MISS" == (await improve(sketch(hints="1"), deadline=time.monotonic() + 150)).outcome
    spent = await spent_today(store)
    assert (1, True) == (spent.calls, 0 < spent.dollars < Settings.from_env(SETTINGS).call_dollars)
    with pytest.raises(StoreUnavailable):
        await improve(sketch(hints="2"), deadline=time.monotonic() + 150)
    assert (1, spent) == (await gemini_stand_in.calls(), await spent_today(store))


@pytest.fixture
async def blind(store: Store, gemini: Gemini) -> AsyncIterator[Improve]:
    """One whose results have a Redis of their own, which is away, with one call a minute to make all the same."""
    nowhere = connect(f"redis://127.0.0.1:{free_port()}", "")
    results = Results(nowhere)
    flights = Flights(store, results, lease_ms=30_000, heartbeat_ms=10_000, max_failures=3)
    yield improve_of(store, results, flights, gemini, allowance=1)
    await nowhere.close()


async def test_calls_whose_drawings_nobody_can_look_for_are_few(blind: Improve, gemini_stand_in: GeminiStandIn) -> None:
    """The results' own Redis is away: a page that asks for one sketch again and again would pay for each time."""
    assert "MISS" == (await blind(sketch(hints="1"), deadline=time.monotonic() + 150)).outcome
    with pytest.raises(StoreUnavailable):
        await blind(sketch(hints="2"), deadline=time.monotonic() + 150)
    assert 1 == await gemini_stand_in.calls()


async def test_a_blind_call_that_is_not_made_leaves_its_allowance_to_others(
    blind: Improve, store: Store, gemini_stand_in: GeminiStandIn
) -> None:
    """Whose budget is used up takes nothing of it; who finds none left has nothing reserved."""
    poor, rich = Principal(account="poor", limits=Limits(calls_per_day=0)), Principal(account="rich")
    with pytest.raises(BudgetExceeded):
        await blind(sketch(hints="1"), deadline=time.monotonic() + 150, payer=poor)
    assert "MISS" == (await blind(sketch(hints="2"), deadline=time.monotonic() + 150, payer=rich)).outcome
    with pytest.raises(StoreUnavailable):
        await blind(sketch(hints="3"), deadline=time.monotonic() + 150, payer=rich)
    assert (1, 1) == (await gemini_stand_in.calls(), (await spent_today(store)).calls)


async def test_a_drawing_that_has_come_is_kept_though_the_instance_stops(
    store: Store,
    results: Results,
    flights: Flights,
    gemini: Gemini,
    raw: redis.asyncio.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was paid for: the grace may end while it is on its way to Redis."""
    improve, keep = improve_of(store, results, flights, gemini), Kept.keep
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def slowly(*args: object, **named: object) -> object:
        begun.set()
        await stopped.wait()
        return await keep(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Kept, "keep", slowly)
    asking = asyncio.create_task(improve(sketch(), deadline=time.monotonic() + 150))
    await begun.wait()
    await improve.wind_up(0)
    with pytest.raises(Stopping):
        await asking
    stopped.set()
    async with asyncio.timeout(5):
        while not await raw.exists(keys.result(improve.digest(sketch()))):
            await asyncio.sleep(0.01)


async def test_a_job_is_paid_for_by_who_sent_it(
    store: Store,
    results: Results,
    flights: Flights,
    gemini: Gemini,
    gemini_stand_in: GeminiStandIn,
    jobs: Jobs,
    raw: redis.asyncio.Redis,
) -> None:
    """Out of the sender's own purse, up to the ceiling of its own: a background job is no way around either."""
    call, kept, _, stop = ways(store, results, gemini)
    improve = Improve(kept, flights, gemini, call, stop, call_timeout_s=120)
    work = Work(improve, kept, jobs, Gate(10), stop, deadline_s=180, call_timeout_s=120)
    ada = Principal(account="ada", limits=Limits(calls_per_day=1))
    assert (Outcome.SETTLED, "") == await work(job(payer=ada, sketch=sketch(hints="1")))
    assert b"1" == await raw.hget(keys.budget("ada"), "calls")
    assert (Outcome.SETTLED, "BUDGET_EXCEEDED") == await work(job(payer=ada, sketch=sketch(hints="2")))
    assert 1 == await gemini_stand_in.calls()


async def test_a_job_whose_drawing_is_never_there_is_handed_back(
    store: Store, results: Results, flights: Flights, gemini: Gemini, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a second try, which has the image: each further one would only move it once more, beyond any deadline."""
    call, kept, _, stop = ways(store, results, gemini)
    improve = Improve(kept, flights, gemini, call, stop, call_timeout_s=120)
    message, ends = job(), []
    await results.put(improve.digest(message.sketch), drawing())

    async def gone(*_: object, **named: object) -> tuple[str, str]:
        ends.append(named["outcome"])
        return "gone", ""

    monkeypatch.setattr(jobs, "complete", gone)
    work = Work(improve, kept, jobs, Gate(10), stop, deadline_s=180, call_timeout_s=120)
    assert (Outcome.AGAIN, "RESULT_EXPIRED") == await work(message)
    state = await jobs.read(message.request_id)
    assert state is not None
    assert (["HIT"] * 2, "queued", 0) == (ends, state.status, state.attempt)


async def test_an_exhausted_job_that_redis_loses_is_delivered_again(
    store: Store,
    results: Results,
    flights: Flights,
    gemini: Gemini,
    jobs: Jobs,
    raw: redis.asyncio.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Acknowledged, it would be nowhere: neither settled nor among the dead letters."""
    call, kept, _, stop = ways(store, results, gemini)
    improve = Improve(kept, flights, gemini, call, stop, call_timeout_s=120)
    work = Work(improve, kept, jobs, Gate(10), stop, deadline_s=180, call_timeout_s=120)
    message, exhaust = job(), jobs.exhaust
    await jobs.claim(message, "dead")
    await raw.hset(keys.status(message.request_id), mapping={"attempt": 3, "lease_until_ms": 1})

    async def exhausted(request_id: str) -> tuple[str, str]:
        await raw.flushall()
        return await exhaust(request_id)

    monkeypatch.setattr(jobs, "exhaust", exhausted)
    assert (Outcome.AGAIN, "UNAVAILABLE") == await work(message)
    assert (Outcome.SETTLED, "") == await work(message)


async def test_a_job_waits_for_what_calls_in_progress_hold(
    store: Store, results: Results, flights: Flights, gemini: Gemini, jobs: Jobs, raw: redis.asyncio.Redis
) -> None:
    """It is told when it will be tried again, spends no attempt, and is done once there is room."""
    call, kept, budget, _ = ways(store, results, gemini, DAILY_DOLLARS="0.20")
    bill, message, waited = await budget.reserve(NOBODY), job(), []

    class Watched(Stop):
        async def sleep(self, seconds: float) -> None:
            state = await jobs.read(message.request_id)
            assert state is not None
            waited.append((seconds >= 30, state.status, state.code, state.attempt))
            await budget.settle(bill, GeminiFailed(may_be_billed=False))

    improve = Improve(kept, flights, gemini, call, Stop(), call_timeout_s=120)
    work = Work(improve, kept, jobs, Gate(10), Watched(), deadline_s=180, call_timeout_s=120)
    assert (Outcome.SETTLED, "") == await work(message)
    assert [(True, "queued", "BUDGET_EXCEEDED", 0)] == waited
    assert b"1" == await raw.hget(keys.status(message.request_id), "attempt")


async def test_a_call_takes_up_the_room_of_its_sketch(
    store: Store, results: Results, flights: Flights, gemini: Gemini, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And gives it back: an instance is bounded by bytes, too."""
    taken, admit = [], Gate.admit

    def seen(gate: Gate, sketch_bytes: int) -> AbstractContextManager[None]:
        taken.append(sketch_bytes)
        return admit(gate, sketch_bytes)

    monkeypatch.setattr(Gate, "admit", seen)
    await improve_of(store, results, flights, gemini)(sketch(), deadline=time.monotonic() + 150)
    assert [len(sketch().png)] == taken


async def test_an_overload_that_names_no_delay_says_how_long_the_fleet_waits(
    store: Store, results: Results, flights: Flights, gemini: Gemini, gemini_stand_in: GeminiStandIn
) -> None:
    """Clients are told when to come again, and the worker waits for it here."""
    await gemini_stand_in.fail("status", status=429)
    with pytest.raises(GeminiBusy) as busy:
        await improve_of(store, results, flights, gemini)(sketch(), deadline=time.monotonic() + 150)
    assert keys.FIRST_COOLDOWN_MS / 1000 == busy.value.retry_after_s
