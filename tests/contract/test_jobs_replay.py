"""Replays on a real Valkey: an operator has a job done again, under its request id, and nobody else can."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.errors import GeminiFailed
from rubydraw.jobs.message import JobMessage
from rubydraw.jobs.transitions import Claim, Jobs

from tests.contract.job_record import JobRecord, queued, running, used_up
from tests.sketches import HOUR_MS, TRACEPARENT, now_ms


async def given_up(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """Use all attempts of the job, an hour ago by its record."""
    await used_up(jobs, message, record)
    await record.age(hours=2)
    assert "expired" == (await jobs.claim(message, "t4")).kind


async def test_failed_job_is_queued_again_with_all_its_attempts_and_time(
    jobs: Jobs, message: JobMessage, record: JobRecord
) -> None:
    """Its reader sees it queued, never begun and without a problem, accepted when it was; it is announced once."""
    await given_up(jobs, message, record)
    before = await jobs.read(message.request_id)
    async with record.announced() as heard:
        first, again = [await jobs.replay(message) for _ in range(2)]
    state = await jobs.read(message.request_id)
    assert before is not None
    assert state is not None
    assert ("queued", 0, "", "", 0, before.created_at_ms) == (
        state.status, state.attempt, state.code, state.message, state.retry_at_ms, state.created_at_ms,
    )  # fmt: skip
    assert (["queued"], 24.0) == (heard, await record.life_hours())
    assert state.age_ms < 5000
    assert ("queued", replace(message, generation=1, replayed_at_ms=state.updated_at_ms)) == first == again


async def test_replayed_job_is_done_by_its_own_message_alone(
    jobs: Jobs, message: JobMessage, record: JobRecord
) -> None:
    """Older ones find it settled, so their deliveries are acknowledged; a second replay raises it further."""
    await given_up(jobs, message, record)
    _, replayed = await jobs.replay(message)
    assert "settled" == (await jobs.claim(message, "old")).kind
    assert Claim("run", attempt=1) == await jobs.claim(replayed, "new")
    await jobs.fail(message.request_id, "new", GeminiFailed())
    await record.rewrite(status="error")
    assert 2 == (await jobs.replay(message))[1].generation
    assert "settled" == (await jobs.claim(replayed, "t1")).kind


async def test_done_job_is_not_replayed(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """It stays done, whatever the letter says."""
    await running(jobs, message)
    await jobs.complete(message, "t1", digest="d1", outcome="MISS")
    before = await record.fields()
    for generation in (0, 7):
        assert "done" == (await jobs.replay(replace(message, generation=generation)))[0]
    assert before == await record.fields()


async def test_job_that_a_worker_holds_is_left_to_it(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """Once the lease has lapsed it is replayed, and the old holder can neither fail nor renew it."""
    await running(jobs, message)
    assert "busy" == (await jobs.replay(message))[0]
    await record.lapse()
    assert "queued" == (await jobs.replay(message))[0]
    assert ("lost", False) == await jobs.fail(message.request_id, "t1", GeminiFailed())
    assert not await jobs.renew(message.request_id, "t1")
    assert ("queued", "0") == await record.named("status", "attempt")


async def test_job_that_never_reached_a_worker_is_replayed(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """Pub/Sub gave its message up while the job was still queued."""
    await queued(jobs, message)
    status, replayed = await jobs.replay(message)
    assert ("queued", 1) == (status, replayed.generation)
    assert ("queued", "1") == await record.named("status", "generation")


async def test_letter_of_a_job_that_runs_again_is_of_no_use(jobs: Jobs, message: JobMessage) -> None:
    """It was replayed from that letter before, and its message is under way."""
    await queued(jobs, message)
    _, replayed = await jobs.replay(message)
    await jobs.claim(replayed, "t1")
    assert "running" == (await jobs.replay(message))[0]


async def test_forgotten_job_is_made_anew_from_its_letter(jobs: Jobs, record: JobRecord, message: JobMessage) -> None:
    """A letter lives for days, a settled record for an hour: who, when and under which trace come from it."""
    late = replace(message, created_at_ms=now_ms() - 48 * HOUR_MS, generation=2)
    first, again = [await jobs.replay(late) for _ in range(2)]
    assert (first, 3) == (again, first[1].generation)
    assert ("queued", str(late.created_at_ms), "3", "0", "d1", "someone", TRACEPARENT) == await record.named(
        "status", "created_at", "generation", "attempt", "digest", "owner", "trace"
    )
    assert Claim("run", attempt=1) == await jobs.claim(first[1], "t1")


async def test_ten_replays_at_once_raise_one_generation(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """Two operators, or one and his retry, want the same."""
    await given_up(jobs, message, record)
    async with record.announced() as heard:
        answers = await asyncio.gather(*(jobs.replay(message) for _ in range(10)))
    assert ({1}, ["queued"]) == ({replayed.generation for _, replayed in answers}, heard)


@pytest.mark.parametrize("lost", [False, True], ids=["recorded", "flushed"])
async def test_age_counts_from_the_replay(
    jobs: Jobs, record: JobRecord, message: JobMessage, raw: redis.asyncio.Redis, lost: bool
) -> None:
    """Neither a worker nor a reader finds it too old, even made again from its message; an hour later both would."""
    _, replayed = await jobs.replay(replace(message, created_at_ms=now_ms() - 48 * HOUR_MS))
    if lost:
        await raw.flushall()
    assert Claim("run", attempt=1) == await jobs.claim(replayed, "t1")
    state = await jobs.read(message.request_id)
    assert ("running", True) == (state and state.status, state is not None and state.age_ms < 5000)
    await record.lapse()
    await record.rewrite(replayed_at=now_ms() - 2 * HOUR_MS)
    state = await jobs.read(message.request_id)
    assert ("error", "EXPIRED") == (state and (state.status, state.code))


@pytest.mark.parametrize("lost", [False, True], ids=["recorded", "flushed"])
async def test_the_time_before_a_replay_counts_for_no_forecast(
    jobs: Jobs, message: JobMessage, raw: redis.asyncio.Redis, lost: bool
) -> None:
    """Days among the dead letters are not what a drawing takes."""
    _, replayed = await jobs.replay(replace(message, created_at_ms=now_ms() - 48 * HOUR_MS))
    replayed = replace(replayed, replayed_at_ms=replayed.replayed_at_ms - 3000)
    await JobRecord(raw, message.request_id).rewrite(replayed_at=replayed.replayed_at_ms)
    if lost:
        await raw.flushall()
    await jobs.complete(replayed, "t1", digest="d1", outcome="MISS")
    assert [3] == [round(int(each) / 1000) for each in await raw.lrange(keys.DURATIONS, 0, -1)]
