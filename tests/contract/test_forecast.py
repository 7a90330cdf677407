"""Durations of jobs on a real Valkey: which count, how many are kept, and that a state comes with its forecast."""

from __future__ import annotations

import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.jobs.durations import KEPT, LATEST_MS, Forecast
from rubydraw.jobs.message import JobMessage
from rubydraw.jobs.transitions import Jobs
from rubydraw.redis.store import Store

from tests.contract.job_record import JobRecord
from tests.sketches import HOUR_MS, job, now_ms


@pytest.fixture
def jobs(store: Store) -> Jobs:
    return Jobs(store, lease_ms=600, heartbeat_ms=200, max_attempts=3, max_age_ms=HOUR_MS)


async def accepted(jobs: Jobs, raw: redis.asyncio.Redis, ago_ms: int) -> JobMessage:
    """A queued job as if it had been accepted so long ago."""
    message = job()
    await jobs.submit(message.request_id, "queued", digest="d", owner="", trace="")
    await JobRecord(raw, message.request_id).rewrite(created_at=now_ms() - ago_ms)
    return message


async def durations_s(raw: redis.asyncio.Redis) -> list[int]:
    """Newest first, in steps of 10 s: these jobs may take some by themselves."""
    return [int(each) // 10_000 * 10 for each in await raw.lrange(keys.DURATIONS, 0, -1)]


async def test_a_drawn_job_counts_once_with_the_time_since_it_was_accepted(
    jobs: Jobs, raw: redis.asyncio.Redis
) -> None:
    """Completed twice with the same token, as redis-py does after a time-out, it is one duration."""
    message = await accepted(jobs, raw, 20_000)
    for _ in range(2):
        assert ("done", "") == await jobs.complete(message, "t1", digest="d", outcome="MISS")
    assert [20] == await durations_s(raw)
    assert 0 < await raw.pttl(keys.DURATIONS) <= keys.DURATIONS_MS


@pytest.mark.parametrize("outcome", ["HIT", "COALESCED"])
async def test_a_job_that_needed_no_call_does_not_count(jobs: Jobs, raw: redis.asyncio.Redis, outcome: str) -> None:
    """It says nothing of one that does."""
    await jobs.complete(await accepted(jobs, raw, 1000), "t1", digest="d", outcome=outcome)
    assert [] == await durations_s(raw)


async def test_only_the_last_hundred_are_kept(jobs: Jobs, raw: redis.asyncio.Redis) -> None:
    """The list is bounded, and rolls."""
    await raw.rpush(keys.DURATIONS, *[70_000] * (KEPT + 20))
    await jobs.complete(await accepted(jobs, raw, 30_000), "t1", digest="d", outcome="MISS")
    assert [30, *[70] * (KEPT - 1)] == await durations_s(raw)


async def test_a_state_tells_what_to_expect_until_it_is_settled(jobs: Jobs, raw: redis.asyncio.Redis) -> None:
    """Nothing before the first duration, nothing afterwards."""
    message = await accepted(jobs, raw, 2000)
    state = await jobs.read(message.request_id)
    assert state
    assert Forecast() == state.forecast

    await raw.rpush(keys.DURATIONS, 12_000)
    state = await jobs.read(message.request_id)
    assert state
    assert (10, 2500) == (round((state.forecast.eta_ms or 0) / 1000), round(state.forecast.poll_after_ms or 0, -2))

    await jobs.complete(message, "t1", digest="d", outcome="MISS")
    state = await jobs.read(message.request_id)
    assert state
    assert Forecast() == state.forecast


async def test_a_refused_write_of_a_duration_does_not_fail_the_job(jobs: Jobs, raw: redis.asyncio.Redis) -> None:
    """Where something else stands under that key, jobs are done all the same and nothing is forecast."""
    message = await accepted(jobs, raw, 2000)
    other = await accepted(jobs, raw, 60_000)
    await raw.set(keys.DURATIONS, "foreign")
    assert ("done", "") == await jobs.complete(message, "t1", digest="d", outcome="MISS")
    state = await jobs.read(other.request_id)
    assert state
    assert Forecast() == state.forecast
    await raw.delete(keys.DURATIONS)
    await raw.rpush(keys.DURATIONS, 1000)
    state = await jobs.read(other.request_id)
    assert state
    assert Forecast(None, LATEST_MS) == state.forecast
