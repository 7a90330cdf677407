"""Jobs on a real Valkey end: complete, fail, abandon and reject, each fenced by its token and sent twice."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.drawings.results import Results
from rubydraw.errors import Code, ContentRefused, GeminiBusy, GeminiFailed, SketchError
from rubydraw.jobs.message import JobMessage
from rubydraw.jobs.transitions import Claim, Jobs

from tests.contract.job_record import JobRecord, queued, running, used_up
from tests.sketches import TRACEPARENT, drawing, job, now_ms


async def test_complete_settles_once(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """The digest under which the drawing is kept and how it was come by are recorded, and the lease ends."""
    await running(jobs, message)
    async with record.announced() as heard:
        assert ("done", "") == await jobs.complete(message, "t1", digest="d2", outcome="MISS")
        before = await record.fields()
        assert ("done", "") == await jobs.complete(message, "t1", digest="d2", outcome="MISS")
    assert before == await record.fields()
    assert ("done", "d2", "MISS", "0", "", "") == await record.named(
        "status", "digest", "outcome", "lease_until_ms", "code", "retry_at"
    )
    assert (["done"], 1.0) == (heard, await record.life_hours())


async def test_twenty_completions_announce_exactly_one(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """Every holder is told that the job is done."""
    await running(jobs, message)
    async with record.announced() as heard:
        answers = await asyncio.gather(
            *(jobs.complete(message, f"t{number}", digest=f"d{number}", outcome="MISS") for number in range(20))
        )
    assert [("done", "")] * 20 == answers
    assert ["done"] == heard


async def test_any_holder_completes_an_unsettled_job(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """One who lost the lease has the drawing all the same, and the current holder finds it settled."""
    await running(jobs, message)
    await record.lapse()
    await jobs.claim(message, "t2")
    assert ("done", "") == await jobs.complete(message, "t1", digest="d1", outcome="MISS")
    before = await record.fields()
    assert "lost" == (await jobs.fail(message.request_id, "t2", GeminiFailed()))[0]
    assert not await jobs.renew(message.request_id, "t2")
    assert ("done", "") == await jobs.complete(message, "t2", digest="d1", outcome="HIT")
    assert before == await record.fields()


async def test_complete_waits_for_a_drawing_that_is_gone(
    jobs: Jobs, message: JobMessage, record: JobRecord, results: Results, raw: redis.asyncio.Redis
) -> None:
    """Nothing changes without it; with it the job is done, and the drawing outlives it."""
    await running(jobs, message)
    before = await record.fields()
    complete = partial(jobs.complete, message, "t1", digest="d1", outcome="MISS", with_drawing=True)
    assert ("gone", "") == await complete()
    await raw.hset(keys.result("d1"), mapping={"image": b"half of one, and no words"})
    assert ("gone", "") == await complete()
    assert before == await record.fields()
    await results.put("d1", drawing(fallback_metadata=True))
    await raw.pexpire(keys.result("d1"), 1000)
    assert ("done", "") == await complete()
    assert await raw.pttl(keys.status(message.request_id)) < await raw.pttl(keys.result("d1"))


async def test_complete_settles_a_job_that_was_handed_back(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """The trace of the failure is wiped."""
    await running(jobs, message)
    await jobs.fail(message.request_id, "t1", GeminiBusy(retry_after_s=20))
    assert ("done", "") == await jobs.complete(message, "t1", digest="d1", outcome="MISS")
    assert ("done", "", "", "") == await record.named("status", "code", "message", "retry_at")


async def test_complete_does_not_revive_a_failed_job(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """It answers what stands."""
    await running(jobs, message)
    await jobs.fail(message.request_id, "t1", ContentRefused())
    before = await record.fields()
    assert ("error", "CONTENT_REFUSED") == await jobs.complete(message, "t2", digest="d1", outcome="MISS")
    assert before == await record.fields()


async def test_complete_writes_the_whole_record_after_a_flush(
    jobs: Jobs, message: JobMessage, record: JobRecord, raw: redis.asyncio.Redis
) -> None:
    """A job that Redis lost in mid-call is done all the same, and readable as any other."""
    await running(jobs, message)
    await raw.flushall()
    assert ("done", "") == await jobs.complete(message, "t1", digest="d2", outcome="MISS")
    assert ("done", "d2", "MISS", "1", "0", "someone", TRACEPARENT) == await record.named(
        "status", "digest", "outcome", "attempt", "generation", "owner", "trace"
    )
    state = await jobs.read(message.request_id)
    assert state is not None
    assert message.created_at_ms == state.created_at_ms <= state.updated_at_ms
    assert 1.0 == await record.life_hours()


async def test_fail_hands_a_retryable_failure_back(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """The job is queued again, the attempt stays counted; sent twice it is announced once."""
    await running(jobs, message)
    async with record.announced() as heard:
        first = await jobs.fail(message.request_id, "t1", GeminiFailed("Sorry."))
        before = await record.fields()
        again = await jobs.fail(message.request_id, "t1", GeminiFailed("Sorry."))
    assert ("queued", False) == first == again
    assert before == await record.fields()
    assert ("queued", "PROVIDER_FAILED", "Sorry.", "1", "0", "") == await record.named(
        "status", "code", "message", "attempt", "lease_until_ms", "retry_at"
    )
    assert (["queued"], 24.0) == (heard, await record.life_hours())


async def test_fail_gives_up_what_cannot_be_retried(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """An error at the first attempt; sent twice it is announced once."""
    await running(jobs, message)
    async with record.announced() as heard:
        first = await jobs.fail(message.request_id, "t1", ContentRefused(retry_after_s=9))
        again = await jobs.fail(message.request_id, "t1", ContentRefused(retry_after_s=9))
    assert ("error", False) == first == again
    assert ("error", "CONTENT_REFUSED", "1", "") == await record.named("status", "code", "attempt", "retry_at")
    assert (["error"], 1.0) == (heard, await record.life_hours())


async def test_fail_gives_up_at_the_third_attempt(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """Retryable or not, three calls were paid for; both answers say that the attempts are used up."""
    await used_up(jobs, message, record, attempts=2)
    await jobs.claim(message, "t3")
    first = await jobs.fail(message.request_id, "t3", GeminiFailed(retry_after_s=9))
    again = await jobs.fail(message.request_id, "t3", GeminiFailed(retry_after_s=9))
    assert ("error", True) == first == again
    status, code, attempt, retry_at, updated_at = await record.named(
        "status", "code", "attempt", "retry_at", "updated_at"
    )
    assert ("error", "PROVIDER_FAILED", "3") == (status, code, attempt)
    assert 9_000 == int(retry_at or 0) - int(updated_at or 0)  # for whoever would send the same sketch again


async def test_fail_hands_an_unbilled_attempt_back_once(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """An overload costs nothing; sending the failure twice does not hand back two."""
    await used_up(jobs, message, record, attempts=1)
    assert Claim("run", attempt=2) == await jobs.claim(message, "t2")
    for _ in range(2):
        assert ("queued", False) == await jobs.fail(message.request_id, "t2", GeminiBusy())
    assert ("1",) == await record.named("attempt")


async def test_overloads_never_use_a_job_up(jobs: Jobs, message: JobMessage) -> None:
    """Ten of them leave all three attempts."""
    await queued(jobs, message)
    for number in range(10):
        assert Claim("run", attempt=1) == await jobs.claim(message, f"t{number}")
        assert ("queued", False) == await jobs.fail(message.request_id, f"t{number}", GeminiBusy())


async def test_fail_says_when_to_try_again(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """`retry_at` is by Redis' clock, and the next attempt takes it away."""
    await running(jobs, message)
    await jobs.fail(message.request_id, "t1", GeminiBusy(retry_after_s=20))
    state = await jobs.read(message.request_id)
    assert state is not None
    assert 20_000 == state.retry_at_ms - state.updated_at_ms
    await jobs.claim(message, "t2")
    assert ("",) == await record.named("retry_at")


@pytest.mark.parametrize("error", [GeminiFailed(), GeminiBusy(), ContentRefused()], ids=lambda error: error.code)
async def test_fail_with_an_old_token_is_lost(
    jobs: Jobs, message: JobMessage, record: JobRecord, error: SketchError
) -> None:
    """One whose lease was taken over cannot fail the job, count or hand back anything."""
    await running(jobs, message)
    await record.lapse()
    await jobs.claim(message, "t2")
    before = await record.fields()
    assert ("lost", False) == await jobs.fail(message.request_id, "t1", error)
    assert before == await record.fields()


async def test_fail_of_an_unknown_job_is_lost(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """After a flush the message brings the job back, not its failure."""
    assert ("lost", False) == await jobs.fail(message.request_id, "t1", GeminiFailed())
    assert {} == await record.fields()


async def test_abandon_settles_what_was_never_handed_over(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """Sent twice it is announced once; a message that arrives all the same finds it settled."""
    await queued(jobs, message)
    async with record.announced() as heard:
        assert [True, True] == [await jobs.abandon(message.request_id, Code.UNAVAILABLE, "No.") for _ in range(2)]
    assert ("error", "UNAVAILABLE", "No.") == await record.named("status", "code", "message")
    assert (["error"], 1.0) == (heard, await record.life_hours())
    assert Claim("settled", status="error", code="CANCELED") == await jobs.claim(message, "t1")


async def test_what_a_repeat_has_handed_over_is_not_abandoned(
    jobs: Jobs, message: JobMessage, record: JobRecord
) -> None:
    """A worker will have it; nothing that anybody sees has changed."""
    await queued(jobs, message)
    version = await record.named("version")
    assert [True, True] == [await jobs.handed_over(message.request_id) for _ in range(2)]
    assert not await jobs.abandon(message.request_id, Code.UNAVAILABLE, "No.")
    assert ("queued", *version) == await record.named("status", "version")
    assert Claim("run", attempt=1) == await jobs.claim(message, "t1")


async def test_a_repeat_that_comes_after_the_end_is_told_so(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """Its message will find the job settled."""
    await queued(jobs, message)
    await jobs.abandon(message.request_id, Code.UNAVAILABLE, "No.")
    before = await record.fields()
    assert not await jobs.handed_over(message.request_id)
    assert before == await record.fields()


@pytest.mark.parametrize("seen", ["running", "queued", "done", "error"])
async def test_abandon_leaves_what_a_worker_has_seen(
    jobs: Jobs, message: JobMessage, record: JobRecord, seen: str
) -> None:
    """The publish did arrive, whatever its answer was."""
    await running(jobs, message)
    match seen:
        case "queued":
            await jobs.fail(message.request_id, "t1", GeminiFailed())
        case "done":
            await jobs.complete(message, "t1", digest="d1", outcome="MISS")
        case "error":
            await jobs.fail(message.request_id, "t1", ContentRefused())
    before = await record.fields()
    assert not await jobs.abandon(message.request_id, Code.UNAVAILABLE, "No.")
    assert before == await record.fields()
    assert seen == before["status"]


async def reject(jobs: Jobs, message: JobMessage) -> None:
    """Reject a job as if its message could not be read."""
    await jobs.reject(message.request_id, Code.BAD_INPUT, "No.", generation=message.generation, owner=message.owner)


async def test_reject_settles_a_job_whose_message_cannot_be_read(
    jobs: Jobs, message: JobMessage, record: JobRecord
) -> None:
    """Sent twice it is announced once."""
    await queued(jobs, message)
    async with record.announced() as heard:
        for _ in range(2):
            await reject(jobs, message)
    assert ("error", "BAD_INPUT", "No.") == await record.named("status", "code", "message")
    assert (["error"], 1.0) == (heard, await record.life_hours())


async def test_reject_records_an_unknown_job(jobs: Jobs, message: JobMessage) -> None:
    """Whoever polls is told, instead of waiting for ever: the record is of the owner whom the message names."""
    await reject(jobs, message)
    state = await jobs.read(message.request_id)
    assert state is not None
    assert ("error", "BAD_INPUT", 0, message.owner) == (state.status, state.code, state.attempt, state.owner)
    assert 0 < state.created_at_ms <= state.updated_at_ms


async def test_reject_leaves_a_settled_job(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """Done stays done."""
    await running(jobs, message)
    await jobs.complete(message, "t1", digest="d1", outcome="MISS")
    before = await record.fields()
    await reject(jobs, message)
    assert before == await record.fields()


async def test_reject_leaves_a_job_that_was_replayed_since(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """Only the message of its own generation, or a newer one, says that it cannot be read."""
    await queued(jobs, message)
    await record.rewrite(generation=2)
    before = await record.fields()
    for generation in (0, 1):
        await reject(jobs, job(message.request_id, generation=generation))
    assert before == await record.fields()
    await reject(jobs, job(message.request_id, generation=2))
    assert ("error", "BAD_INPUT") == await record.named("status", "code")


async def test_complete_after_a_flush_dates_nothing_in_the_future(jobs: Jobs, raw: redis.asyncio.Redis) -> None:
    """A message from a clock ten minutes ahead of Redis was accepted now."""
    ahead = job(created_at_ms=now_ms() + 600_000)
    await jobs.complete(ahead, "t1", digest="d2", outcome="MISS")
    state = await jobs.read(ahead.request_id)
    assert state is not None
    assert state.created_at_ms <= state.updated_at_ms <= now_ms()
