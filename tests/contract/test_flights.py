"""Flights on a real Valkey: exactly one caller is let through, and everybody else learns what became of it."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.drawings.flights import Flights
from rubydraw.drawings.results import Results
from rubydraw.errors import (
    BadAnswer,
    ContentRefused,
    GeminiBusy,
    GeminiFailed,
    NotAccepted,
    OutOfTime,
    SketchError,
    Unavailable,
)

from tests.contract.job_record import LEASE_MS
from tests.sketches import drawing, now_ms

DIGEST = "0123456789abcdef"
FLIGHT = keys.flight(DIGEST)


async def test_look_finds_nothing_of_a_new_sketch(flights: Flights, raw: redis.asyncio.Redis) -> None:
    """Without a token nothing is taken either."""
    look = await flights.look(DIGEST)
    assert (None, False, False, None, 0.0, False) == (
        look.drawing, look.ours, look.taken, look.failure, look.cooldown_s, look.blind,
    )  # fmt: skip
    assert abs(now_ms() - look.now_ms) < 5000
    assert [] == await raw.keys()


async def test_look_takes_the_flight_for_its_token(flights: Flights, raw: redis.asyncio.Redis) -> None:
    """Sent twice it is still ours; to others it is taken."""
    looks = [await flights.look(DIGEST, token=token) for token in ("t1", "t1", "t2", "")]
    assert [(True, False), (True, False), (False, True), (False, True)] == [(look.ours, look.taken) for look in looks]
    assert b"t1" == await raw.get(FLIGHT)
    assert 0 < await raw.pttl(FLIGHT) <= LEASE_MS


async def test_twenty_callers_at_once_have_exactly_one_winner(flights: Flights) -> None:
    """The others see that it is taken."""
    looks = await asyncio.gather(*(flights.look(DIGEST, token=f"t{number}") for number in range(20)))
    assert [(False, True)] * 19 + [(True, False)] == sorted((look.ours, look.taken) for look in looks)


async def test_lapsed_flight_is_taken_over_by_exactly_one(flights: Flights, raw: redis.asyncio.Redis) -> None:
    """The dead leader's followers compete for it."""
    await flights.look(DIGEST, token="dead")
    await raw.delete(FLIGHT)
    looks = await asyncio.gather(*(flights.look(DIGEST, token=f"t{number}") for number in range(20)))
    assert 1 == sum(look.ours for look in looks)


async def test_winner_sees_what_the_holder_before_stored(flights: Flights, results: Results) -> None:
    """It reads after it took: nobody draws what is already there."""
    kept = drawing()
    await results.put(DIGEST, kept)
    look = await flights.look(DIGEST, token="t1")
    assert (True, kept) == (look.ours, look.drawing)


@pytest.mark.parametrize("times", [1, 2])
async def test_landing_with_nothing_lets_another_take_over(flights: Flights, times: int) -> None:
    """Sent twice it deletes once."""
    await flights.look(DIGEST, token="t1")
    for _ in range(times):
        await flights.land(DIGEST, "t1")
    assert (await flights.look(DIGEST, token="t2")).ours


async def test_landing_sent_twice_leaves_the_next_holder(flights: Flights, raw: redis.asyncio.Redis) -> None:
    """Only the holder of the token lets go, whatever it brings."""
    await flights.look(DIGEST, token="t1")
    await flights.land(DIGEST, "t1")
    await flights.look(DIGEST, token="t2")
    for failure in (None, GeminiFailed()):
        await flights.land(DIGEST, "t1", failure)
    assert b"t2" == await raw.get(FLIGHT)


async def test_failed_flight_answers_everyone_for_five_seconds(flights: Flights, raw: redis.asyncio.Redis) -> None:
    """Who waits and who comes now has the same failure, without a call."""
    await flights.look(DIGEST, token="t1")
    for _ in range(2):
        await flights.land(DIGEST, "t1", GeminiFailed())
    for token in ("", "t1", "t2"):
        look = await flights.look(DIGEST, token=token)
        assert isinstance(look.failure, GeminiFailed)
        assert not look.ours
        assert 0 < (look.failure.retry_after_s or 0) <= 5
    assert 2000 < await raw.pttl(FLIGHT) <= 5000


@pytest.mark.parametrize(
    ("failure", "wait_s"),
    [
        (GeminiFailed(), 5),
        (GeminiFailed(retry_after_s=1), 5),
        (GeminiFailed(may_be_billed=False), 5),
        (NotAccepted(), None),
    ],
)
async def test_the_leader_is_told_to_wait_as_its_followers_are(
    flights: Flights, failure: SketchError, wait_s: float | None
) -> None:
    """Sooner, a retry has the same answer without a call; no wait is named where none helps."""
    await flights.look(DIGEST, token="t1")
    await flights.land(DIGEST, "t1", failure)
    follower = (await flights.look(DIGEST)).failure
    assert follower
    assert wait_s == failure.retry_after_s
    assert (wait_s is None) == (follower.retry_after_s is None)


async def test_failures_that_cost_nothing_are_never_final(flights: Flights, raw: redis.asyncio.Redis) -> None:
    """Gemini was not reached: nobody's attempt is used up, however often that happens."""
    for number in range(5):
        await flights.look(DIGEST, token=f"t{number}")
        await flights.land(DIGEST, f"t{number}", GeminiFailed(may_be_billed=False))
        failure = (await flights.look(DIGEST)).failure
        assert isinstance(failure, GeminiFailed)
        assert (False, False) == (failure.final, failure.may_be_billed)
        assert 0 < await flights.failed_for_s(DIGEST) <= 5.001
        await raw.delete(FLIGHT)


async def test_failed_flight_tells_when_a_retry_makes_sense(flights: Flights) -> None:
    """Later than the marker lives, if the leader was told so."""
    await flights.look(DIGEST, token="t1")
    await flights.land(DIGEST, "t1", GeminiBusy(retry_after_s=40))
    failure = (await flights.look(DIGEST)).failure
    assert isinstance(failure, GeminiBusy)
    assert 39 < (failure.retry_after_s or 0) <= 40


@pytest.mark.parametrize(
    "failure",
    [BadAnswer(), ContentRefused(), GeminiBusy(), GeminiFailed(), NotAccepted(), OutOfTime(), Unavailable()],
    ids=lambda failure: type(failure).__name__,
)
async def test_followers_get_the_kind_of_failure_that_the_leader_met(flights: Flights, failure: SketchError) -> None:
    """Code and class are the same."""
    await flights.look(DIGEST, token="t1")
    await flights.land(DIGEST, "t1", failure)
    assert type(failure) is type((await flights.look(DIGEST)).failure)


async def test_failure_is_over_with_its_marker(flights: Flights, raw: redis.asyncio.Redis) -> None:
    """`failed_for_s` tells a job how long its own last failure would be its answer."""
    assert 0.0 == await flights.failed_for_s(DIGEST)
    await flights.look(DIGEST, token="t1")
    assert 0.0 == await flights.failed_for_s(DIGEST)
    await flights.land(DIGEST, "t1", GeminiFailed())
    assert 2 < await flights.failed_for_s(DIGEST) <= 5.001


async def test_failure_is_nobodys_answer_once_it_has_been_waited_for(
    flights: Flights, raw: redis.asyncio.Redis
) -> None:
    """Not in the millisecond in which its life ends either."""
    for _ in range(20):
        await flights.look(DIGEST, token="t1")
        await flights.land(DIGEST, "t1", GeminiFailed())
        await raw.delete(keys.failures(DIGEST))
        await raw.pexpire(FLIGHT, 5)
        await asyncio.sleep(await flights.failed_for_s(DIGEST))
        assert None is (await flights.look(DIGEST)).failure
    await raw.delete(FLIGHT)
    assert (await flights.look(DIGEST, token="t2")).ours


async def test_held_flight_is_renewed(flights: Flights, raw: redis.asyncio.Redis) -> None:
    """The heartbeat moves its end on while the block runs."""
    await flights.look(DIGEST, token="t1")
    async with asyncio.timeout(5):
        with flights.hold(DIGEST, "t1"):
            await raw.pexpire(FLIGHT, 2000)
            while await raw.pttl(FLIGHT) <= 2000:
                await asyncio.sleep(0.01)


async def test_holder_that_lost_its_flight_does_not_renew_the_next_one(
    flights: Flights, raw: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call goes on, the other's flight is left alone."""
    beats, beat = asyncio.Semaphore(0), flights._beat

    async def counted(*held: str) -> None:
        await beat(*held)
        beats.release()

    monkeypatch.setattr(flights, "_beat", counted)
    async with asyncio.timeout(5):
        with flights.hold(DIGEST, "t1"):
            await flights.look(DIGEST, token="t2")
            await raw.pexpire(FLIGHT, 2000)
            for _ in range(3):
                await beats.acquire()
            assert 0 < await raw.pttl(FLIGHT) <= 2000
