"""Refusals and cooldowns on a real Valkey: nobody calls Gemini in vain, also while a Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.drawings.flights import Flights
from rubydraw.drawings.results import MAX_UNSAVED, Results
from rubydraw.errors import (
    BadAnswer,
    ContentRefused,
    GeminiFailed,
    NotAccepted,
    OutOfTime,
    SketchError,
)
from rubydraw.redis.store import Store, connect

from tests.contract.job_record import LEASE_MS
from tests.servers import free_port
from tests.sketches import drawing

DIGEST = "0123456789abcdef"
FLIGHT = keys.flight(DIGEST)


@pytest.fixture
async def nowhere() -> AsyncIterator[Store]:
    """A Store whose Redis does not run."""
    store = connect(f"redis://127.0.0.1:{free_port()}/0", "")
    yield store
    await store.close()


@pytest.mark.parametrize("failure", [ContentRefused(), NotAccepted()], ids=lambda failure: failure.code)
async def test_refusals_are_remembered_for_ten_minutes(
    flights: Flights, raw: redis.asyncio.Redis, failure: SketchError
) -> None:
    """Same sketch, same answer: the next one is told without a call."""
    await flights.remember_refusal(DIGEST, failure)
    look = await flights.look(DIGEST, token="t1")
    assert look.failure is not None
    assert (type(failure), failure.code) == (type(look.failure), look.failure.code)
    assert 590_000 < await raw.pttl(keys.refused(DIGEST)) <= 600_000


@pytest.mark.parametrize("failure", [GeminiFailed(), OutOfTime(), BadAnswer()], ids=lambda failure: failure.code)
async def test_what_may_pass_is_not_remembered(
    flights: Flights, raw: redis.asyncio.Redis, failure: SketchError
) -> None:
    """The next attempt may succeed."""
    await flights.remember_refusal(DIGEST, failure)
    assert [] == await raw.keys()


async def lapse_cooldown(raw: redis.asyncio.Redis) -> None:
    """Let the cooldown end now; its step lives on."""
    held: Any = await raw.get(keys.COOLDOWN)
    step = held.split(b":")[1]
    await raw.set(keys.COOLDOWN, b"1:" + step, keepttl=True)


async def test_cooldown_lasts_as_long_as_gemini_says(flights: Flights) -> None:
    """Every caller of the fleet sees it."""
    assert 40.0 == await flights.cool_down(40)
    assert 39 < (await flights.look(DIGEST, token="t1")).cooldown_s <= 40


async def test_cooldown_doubles_from_15_to_120_seconds(flights: Flights, raw: redis.asyncio.Redis) -> None:
    """Each time that Gemini is still overloaded afterwards."""
    seconds = []
    for _ in range(5):
        seconds.append(await flights.cool_down(None))
        await lapse_cooldown(raw)
    assert [15.0, 30.0, 60.0, 120.0, 120.0] == seconds


async def test_burst_of_overloads_doubles_nothing(flights: Flights) -> None:
    """Twenty calls in flight meet one overload, not twenty."""
    seconds = await asyncio.gather(*(flights.cool_down(None) for _ in range(20)))
    assert {15.0} == {float(round(each)) for each in seconds}


async def test_longer_delay_prolongs_a_cooldown(flights: Flights) -> None:
    """A shorter one does not cut it."""
    await flights.cool_down(20)
    assert 60.0 == await flights.cool_down(60)
    assert 59 < await flights.cool_down(1) <= 60


async def test_cooldown_is_forgotten_one_step_after_its_end(flights: Flights, raw: redis.asyncio.Redis) -> None:
    """Then the next overload starts at 15 s again."""
    await flights.cool_down(None)
    assert 29_000 < await raw.pttl(keys.COOLDOWN) <= 30_000
    await lapse_cooldown(raw)
    assert 0.0 == (await flights.look(DIGEST)).cooldown_s


async def test_results_may_live_on_a_redis_of_their_own(store: Store, valkey_other: Store) -> None:
    """The winner sees them all the same."""
    results, kept = Results(valkey_other), drawing()
    await results.put(DIGEST, kept)
    look = await Flights(store, results, lease_ms=LEASE_MS, heartbeat_ms=20, max_failures=3).look(DIGEST, token="t1")
    assert (True, kept, False) == (look.ours, look.drawing, look.blind)


@pytest.fixture
async def valkey_other(redis_url: str) -> AsyncIterator[Store]:
    """Another database of the same server."""
    store = connect(redis_url.removesuffix("/0") + "/1", "")
    yield store
    await store.close()


async def test_look_is_blind_while_the_results_cannot_be_reached(store: Store, nowhere: Store) -> None:
    """The flight still keeps others from calling."""
    flights = Flights(store, Results(nowhere), lease_ms=LEASE_MS, heartbeat_ms=20, max_failures=3)
    looks = [await flights.look(DIGEST, token=token) for token in ("t1", "t2")]
    assert [(True, True), (False, True)] == [(look.ours, look.blind) for look in looks]


async def test_look_is_blind_where_what_is_drawn_could_be_kept_nowhere(store: Store, valkey_other: Store) -> None:
    """The results' Redis takes nothing, and no more can be held here: another call would be paid for and lost."""
    results = Results(valkey_other)
    flights = Flights(store, results, lease_ms=LEASE_MS, heartbeat_ms=20, max_failures=3)
    for number in range(MAX_UNSAVED):
        assert not (await flights.look(DIGEST)).blind
        results._hold(f"{number}", drawing())
    assert (await flights.look(DIGEST)).blind


async def test_landing_and_cooling_down_survive_an_outage(nowhere: Store) -> None:
    """A flight lapses by itself, and the one who was told to wait still waits."""
    flights = Flights(nowhere, Results(nowhere), lease_ms=LEASE_MS, heartbeat_ms=20, max_failures=3)
    await flights.land(DIGEST, "t1", GeminiFailed())
    await flights.remember_refusal(DIGEST, ContentRefused())
    assert [12.0, 15.0] == [await flights.cool_down(named_s) for named_s in (12, None)]


async def test_a_third_failure_in_a_row_is_final_and_answers_for_a_minute(
    flights: Flights, raw: redis.asyncio.Redis
) -> None:
    """Two failures answer for five seconds each; after the third, every job that meets it ends, and says how long."""
    finals, lives_ms, waits_s = [], [], []
    for token in ("t1", "t2", "t3"):
        assert (await flights.look(DIGEST, token=token)).ours
        failure = GeminiFailed()
        await flights.land(DIGEST, token, failure)
        met = (await flights.look(DIGEST, token="other")).failure
        assert met is not None
        assert met.final == failure.final
        finals.append(met.final)
        waits_s.append(failure.retry_after_s)
        lives_ms.append(await raw.pttl(keys.flight(DIGEST)))
        assert bool(await flights.failed_for_s(DIGEST)) != met.final
        await raw.delete(keys.flight(DIGEST))
    assert (finals, waits_s) == ([False, False, True], [5, 5, keys.FAILED_FOR_GOOD_MS / 1000])
    assert max(lives_ms[:2]) <= keys.FAILED_FLIGHT_MS < lives_ms[2] <= keys.FAILED_FOR_GOOD_MS
    assert 0 < await raw.pttl(keys.failures(DIGEST)) <= keys.FAILED_FOR_GOOD_MS


async def test_failures_are_counted_together_that_are_less_than_a_minute_apart(
    flights: Flights, raw: redis.asyncio.Redis
) -> None:
    """Each answers for five seconds, so the next call comes later than that: else none would ever be the third."""
    await flights.look(DIGEST, token="t1")
    await flights.land(DIGEST, "t1", GeminiFailed())
    assert keys.FAILED_FLIGHT_MS < await raw.pttl(keys.failures(DIGEST)) <= keys.FAILED_FOR_GOOD_MS
