"""The transitions of jobs on a real Valkey: what each writes, announces and refuses, and that twice is as good as once.

Every script is sent twice with the same token here, because redis-py does so after a time-out.
"""

from __future__ import annotations

import asyncio
import uuid

import pytest
import redis.asyncio
from rubydraw.errors import Code, ContentRefused, GeminiBusy, GeminiFailed, SketchError
from rubydraw.jobs import Claim, Jobs
from rubydraw.message import JobMessage
from rubydraw.store import Store

from tests.contract.job_record import JobRecord
from tests.sketches import HOUR_MS, TRACEPARENT, job, now_ms

LEASE_MS = 600
SUBMITTED = {"digest": "d1", "outcome": "", "owner": "someone", "trace": TRACEPARENT}


@pytest.fixture
def jobs(store: Store) -> Jobs:
    return Jobs(store, lease_ms=LEASE_MS, heartbeat_ms=20, max_attempts=3, max_age_ms=HOUR_MS)


@pytest.fixture
def message() -> JobMessage:
    return job()


@pytest.fixture
def record(raw: redis.asyncio.Redis, message: JobMessage) -> JobRecord:
    return JobRecord(raw, message.request_id)


async def queued(jobs: Jobs, message: JobMessage) -> None:
    status, created_at_ms = await jobs.submit(message.request_id, "queued", **SUBMITTED)
    assert (status, True) == ("queued", abs(now_ms() - created_at_ms) < 5000)


async def running(jobs: Jobs, message: JobMessage, token: str = "t1") -> None:
    await queued(jobs, message)
    assert Claim("run", attempt=1) == await jobs.claim(message, token)


async def used_up(jobs: Jobs, message: JobMessage, record: JobRecord, attempts: int = 3) -> None:
    """Begin so many attempts, of which none settles the job."""
    await queued(jobs, message)
    for attempt in range(1, attempts + 1):
        assert Claim("run", attempt=attempt) == await jobs.claim(message, f"t{attempt}")
        await record.lapse()


async def until_prolonged(record: JobRecord) -> None:
    """Poll until the lease has half of its length left again."""
    while int((await record.named("lease_until_ms"))[0] or 0) < now_ms() + LEASE_MS / 2:
        await asyncio.sleep(0.01)


# submit


@pytest.mark.parametrize(("status", "outcome", "hours"), [("queued", "", 24.0), ("done", "HIT", 1.0)])
async def test_submit_records_a_job_once(
    jobs: Jobs, message: JobMessage, record: JobRecord, status: str, outcome: str, hours: float
) -> None:
    """Sent twice, it is announced once, and both answers say when it was accepted."""
    async with record.announced() as heard:
        first = await jobs.submit(message.request_id, status, **SUBMITTED | {"outcome": outcome})
        again = await jobs.submit(message.request_id, status, **SUBMITTED | {"outcome": outcome})
    fields = await record.fields()
    assert [status] == heard
    assert first == again == (status, int(fields["created_at"]))
    assert ("1", "0", "0", "d1", outcome, "someone", TRACEPARENT) == await record.named(
        "version", "attempt", "generation", "digest", "outcome", "owner", "trace"
    )
    assert fields["created_at"] == fields["updated_at"]
    assert hours == await record.life_hours()


async def test_submit_leaves_what_a_faster_worker_recorded(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """`queued` never overwrites `done`."""
    await jobs.claim(message, "t1")
    await jobs.complete(message, "t1", digest="d2", outcome="MISS")
    before = await record.fields()
    assert ("done", int(before["created_at"])) == await jobs.submit(message.request_id, "queued", **SUBMITTED)
    assert before == await record.fields()


# claim


async def test_claim_begins_an_attempt_under_a_lease(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """The token, the count and the end of the lease are written, and watchers are told."""
    await queued(jobs, message)
    async with record.announced() as heard:
        assert Claim("run", attempt=1) == await jobs.claim(message, "t1")
    status, token, attempt, lease_until_ms = await record.named("status", "token", "attempt", "lease_until_ms")
    assert ("running", "t1", "1") == (status, token, attempt)
    assert 0 < int(lease_until_ms or 0) - now_ms() <= LEASE_MS
    assert (["running"], 24.0) == (heard, await record.life_hours())


async def test_claim_sent_twice_counts_once(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """The same token has the same attempt, and nothing is written again."""
    await running(jobs, message)
    before = await record.fields()
    assert Claim("run", attempt=1) == await jobs.claim(message, "t1")
    assert before == await record.fields()


async def test_claim_finds_a_live_lease_busy(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """It says how long the lease still lasts, and changes nothing."""
    await running(jobs, message)
    before = await record.fields()
    claim = await jobs.claim(message, "t2")
    assert ("busy", True) == (claim.kind, 0 < claim.busy_ms <= LEASE_MS)
    assert before == await record.fields()


async def test_twenty_claims_at_once_begin_exactly_one_attempt(
    jobs: Jobs, message: JobMessage, record: JobRecord
) -> None:
    """The others find it busy."""
    await queued(jobs, message)
    claims = await asyncio.gather(*(jobs.claim(message, f"t{number}") for number in range(20)))
    assert ["busy"] * 19 + ["run"] == sorted(claim.kind for claim in claims)
    assert ("1",) == await record.named("attempt")


async def test_claim_takes_over_a_lapsed_lease(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """A lapsed lease alone changes nothing; the next delivery counts another attempt."""
    await running(jobs, message)
    await record.lapse()
    assert ("running",) == await record.named("status")
    assert Claim("run", attempt=2) == await jobs.claim(message, "t2")
    assert ("t2", "2") == await record.named("token", "attempt")


async def test_twenty_claims_of_a_lapsed_lease_begin_exactly_one_attempt(
    jobs: Jobs, message: JobMessage, record: JobRecord
) -> None:
    """One of them takes over."""
    await running(jobs, message)
    await record.lapse()
    claims = await asyncio.gather(*(jobs.claim(message, f"other-{number}") for number in range(20)))
    assert [2] == [claim.attempt for claim in claims if claim.kind == "run"]


async def test_claim_finds_a_done_job_settled(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """A duplicate delivery changes nothing."""
    await running(jobs, message)
    await jobs.complete(message, "t1", digest="d1", outcome="MISS")
    before = await record.fields()
    for token in ("t1", "t2"):
        assert Claim("settled", status="done") == await jobs.claim(message, token)
    assert before == await record.fields()


async def test_claim_finds_a_failed_job_settled_with_its_code(jobs: Jobs, message: JobMessage) -> None:
    """The code says what to do with the message."""
    await running(jobs, message)
    await jobs.fail(message.request_id, "t1", ContentRefused())
    assert Claim("settled", status="error", code="CONTENT_REFUSED") == await jobs.claim(message, "t2")


async def test_claim_after_three_attempts_is_exhausted(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """Three attempts began and none settled it: it becomes an error, once."""
    await used_up(jobs, message, record)
    async with record.announced() as heard:
        assert Claim("exhausted", status="error", code="UNAVAILABLE") == await jobs.claim(message, "t4")
        again = await jobs.claim(message, "t4")
    assert ("settled", "error", "UNAVAILABLE") == (again.kind, again.status, again.code)
    assert ("error", "UNAVAILABLE", "3", "0", "") == await record.named(
        "status", "code", "attempt", "lease_until_ms", "retry_at"
    )
    assert (["error"], 1.0) == (heard, await record.life_hours())


async def test_exhausted_job_keeps_the_code_of_its_last_failure(
    jobs: Jobs, message: JobMessage, record: JobRecord
) -> None:
    """Two attempts failed and told why, the third one died."""
    await queued(jobs, message)
    for attempt in (1, 2):
        await jobs.claim(message, f"t{attempt}")
        await jobs.fail(message.request_id, f"t{attempt}", GeminiFailed())
    await jobs.claim(message, "t3")
    await record.lapse()
    assert Claim("exhausted", status="error", code="PROVIDER_FAILED") == await jobs.claim(message, "t4")


async def test_claim_makes_a_lost_job_again_from_its_message(
    jobs: Jobs, message: JobMessage, record: JobRecord
) -> None:
    """After a flush the message is all there is: id, time, digest, owner and trace come from it."""
    async with record.announced() as heard:
        assert Claim("run", attempt=1) == await jobs.claim(message, "t1")
        assert Claim("run", attempt=1) == await jobs.claim(message, "t1")
    assert ["queued", "running"] == heard
    assert (str(message.created_at_ms), "d1", "someone", TRACEPARENT, "0") == await record.named(
        "created_at", "digest", "owner", "trace", "generation"
    )
    assert 24.0 == await record.life_hours()


async def test_a_message_from_a_fast_clock_is_not_dated_in_the_future(jobs: Jobs, raw: redis.asyncio.Redis) -> None:
    """Ten minutes ahead of Redis count as now."""
    ahead = job(created_at_ms=now_ms() + 600_000)
    await jobs.claim(ahead, "t1")
    state = await jobs.read(ahead.request_id)
    assert state is not None
    assert state.created_at_ms <= state.updated_at_ms <= now_ms()


async def test_a_job_of_a_newer_generation_is_settled_for_older_messages(
    jobs: Jobs, message: JobMessage, record: JobRecord
) -> None:
    """Only the message of its own generation, or a newer one, begins an attempt."""
    await queued(jobs, message)
    await record.rewrite(generation=2)
    for generation in (0, 1):
        claim = await jobs.claim(job(message.request_id, generation=generation), "t1")
        assert Claim("settled", status="queued") == claim
    assert Claim("run", attempt=1) == await jobs.claim(job(message.request_id, generation=2), "t2")


# growing too old


async def test_claim_expires_a_job_that_is_too_old(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """Nobody asks for it any more; sent twice it is announced once."""
    await queued(jobs, message)
    await record.age(hours=2)
    async with record.announced() as heard:
        assert Claim("expired", status="error", code="EXPIRED") == await jobs.claim(message, "t1")
        again = await jobs.claim(message, "t1")
    assert ("settled", "error", "EXPIRED") == (again.kind, again.status, again.code)
    assert ("error", "EXPIRED", "0") == await record.named("status", "code", "attempt")
    assert (["error"], 1.0) == (heard, await record.life_hours())


async def test_claim_expires_a_lost_job_whose_message_is_too_old(jobs: Jobs) -> None:
    """The time in the message counts where there is no record."""
    late = job(created_at_ms=now_ms() - 2 * HOUR_MS)
    assert "expired" == (await jobs.claim(late, "t1")).kind


async def test_ten_readers_expire_a_job_exactly_once(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """It is announced once, and whoever reads next sees the error."""
    await queued(jobs, message)
    await record.age(hours=2)
    async with record.announced() as heard:
        await asyncio.gather(*(jobs.read(message.request_id) for _ in range(10)))
    state = await jobs.read(message.request_id)
    assert ("error", "EXPIRED") == (state and (state.status, state.code))
    assert (["error"], 1.0) == (heard, await record.life_hours())


async def test_live_lease_keeps_an_old_job_from_expiring(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """Whoever is drawing may finish; once the lease has lapsed a reader settles it."""
    await running(jobs, message)
    await record.rewrite(lease_until_ms=now_ms() + 60_000)
    await record.age(hours=2)
    assert "busy" == (await jobs.claim(message, "t2")).kind
    state = await jobs.read(message.request_id)
    assert "running" == (state and state.status)
    await record.lapse()
    state = await jobs.read(message.request_id)
    assert ("error", "EXPIRED") == (state and (state.status, state.code))


async def test_holder_completes_a_job_that_grew_too_old(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """What was paid for is kept."""
    await running(jobs, message)
    await record.age(hours=2)
    assert ("done", "") == await jobs.complete(message, "t1", digest="d1", outcome="MISS")


@pytest.mark.parametrize("status", ["done", "error"])
async def test_settled_jobs_do_not_expire(jobs: Jobs, message: JobMessage, record: JobRecord, status: str) -> None:
    """A settled state is final."""
    await queued(jobs, message)
    await record.rewrite(status=status, code="CONTENT_REFUSED" if status == "error" else "")
    await record.age(hours=2)
    before = await record.fields()
    state = await jobs.read(message.request_id)
    assert status == (state and state.status)
    assert before == await record.fields()


# renew


async def test_renew_prolongs_the_lease_silently(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """Nothing that a reader sees changes."""
    await running(jobs, message)
    await record.rewrite(lease_until_ms=now_ms() + 50)
    before = await record.fields()
    async with record.announced() as heard:
        assert [True, True] == [await jobs.renew(message.request_id, "t1") for _ in range(2)]
    after = await record.fields()
    assert [] == heard
    assert 50 < int(after.pop("lease_until_ms")) - now_ms() <= LEASE_MS
    del before["lease_until_ms"]
    assert before == after


@pytest.mark.parametrize("situation", ["taken over", "settled", "handed back", "unknown"])
async def test_renew_with_an_old_token_is_refused(
    jobs: Jobs, message: JobMessage, record: JobRecord, situation: str
) -> None:
    """A lease that is lost stays lost."""
    if situation != "unknown":
        await running(jobs, message)
    match situation:
        case "taken over":
            await record.lapse()
            await jobs.claim(message, "t2")
        case "settled":
            await jobs.complete(message, "t1", digest="d1", outcome="MISS")
        case "handed back":
            await jobs.fail(message.request_id, "t1", GeminiFailed())
    before = await record.fields()
    assert not await jobs.renew(message.request_id, "t1")
    assert before == await record.fields()


async def test_lease_is_renewed_while_the_block_runs(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """The heartbeat moves its end on, and stops with the block."""
    await running(jobs, message)
    async with jobs.lease(message.request_id, "t1"), asyncio.timeout(5):
        await record.rewrite(lease_until_ms=now_ms() + 100)
        await until_prolonged(record)


async def test_lost_lease_does_not_end_the_work(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """The drawing is worth having whoever holds the job; the other's lease is not touched."""
    await running(jobs, message)
    async with jobs.lease(message.request_id, "t1"), asyncio.timeout(5):
        await record.rewrite(token="t2", lease_until_ms=7)
        await asyncio.sleep(0.1)  # five heartbeats
        assert ("7",) == await record.named("lease_until_ms")


# complete


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


# fail


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
    assert ("error", "PROVIDER_FAILED", "3", "") == await record.named("status", "code", "attempt", "retry_at")


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


# abandon and reject


async def test_abandon_settles_what_was_never_handed_over(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """Sent twice it is announced once; a message that arrives all the same finds it settled."""
    await queued(jobs, message)
    async with record.announced() as heard:
        assert [True, True] == [await jobs.abandon(message.request_id, Code.UNAVAILABLE, "No.") for _ in range(2)]
    assert ("error", "UNAVAILABLE", "No.") == await record.named("status", "code", "message")
    assert (["error"], 1.0) == (heard, await record.life_hours())
    assert Claim("settled", status="error", code="UNAVAILABLE") == await jobs.claim(message, "t1")


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


async def test_reject_settles_a_job_whose_message_cannot_be_read(
    jobs: Jobs, message: JobMessage, record: JobRecord
) -> None:
    """Sent twice it is announced once."""
    await queued(jobs, message)
    async with record.announced() as heard:
        for _ in range(2):
            await jobs.reject(message.request_id, Code.BAD_INPUT, "No.")
    assert ("error", "BAD_INPUT", "No.") == await record.named("status", "code", "message")
    assert (["error"], 1.0) == (heard, await record.life_hours())


async def test_reject_records_an_unknown_job(jobs: Jobs, message: JobMessage) -> None:
    """Whoever polls is told, instead of waiting for ever."""
    await jobs.reject(message.request_id, Code.BAD_INPUT, "No.")
    state = await jobs.read(message.request_id)
    assert state is not None
    assert ("error", "BAD_INPUT", 0) == (state.status, state.code, state.attempt)
    assert 0 < state.created_at_ms <= state.updated_at_ms


async def test_reject_leaves_a_settled_job(jobs: Jobs, message: JobMessage, record: JobRecord) -> None:
    """Done stays done."""
    await running(jobs, message)
    await jobs.complete(message, "t1", digest="d1", outcome="MISS")
    before = await record.fields()
    await jobs.reject(message.request_id, Code.BAD_INPUT, "No.")
    assert before == await record.fields()


# reading, and time


async def test_read_tells_all_of_a_job_by_the_clock_of_redis(jobs: Jobs, message: JobMessage) -> None:
    """An hour after it was settled it will be forgotten."""
    await running(jobs, message)
    await jobs.complete(message, "t1", digest="d2", outcome="COALESCED")
    state = await jobs.read(message.request_id)
    assert state is not None
    assert ("done", "d2", "COALESCED", 1, "someone") == (
        state.status, state.digest, state.outcome, state.attempt, state.owner,
    )  # fmt: skip
    assert state.settled
    assert abs(state.expires_at_ms - state.updated_at_ms - HOUR_MS) < 5000


@pytest.mark.parametrize(
    "request_id",
    [
        *("", "*", "a", "x" * 100_000, "\r\nFLUSHALL\r\n", "\0", "{}", "\ud800"),
        str(uuid.uuid4()).upper(),
        str(uuid.uuid1()),
        f"{uuid.uuid4()}\n",
        f" {uuid.uuid4()}",
    ],
    ids=ascii,
)
async def test_what_is_no_request_id_is_unknown_and_never_sent(
    jobs: Jobs, raw: redis.asyncio.Redis, request_id: str
) -> None:
    """Redis is not even asked."""
    before = (await raw.info("stats"))["total_commands_processed"]
    assert None is await jobs.read(request_id)
    assert 1 == (await raw.info("stats"))["total_commands_processed"] - before


async def test_unknown_request_ids_have_no_state(jobs: Jobs, record: JobRecord) -> None:
    """Reading makes no record."""
    assert None is await jobs.read(str(uuid.uuid4()))
    assert {} == await record.fields()


async def test_updated_at_rises_and_created_at_stays(jobs: Jobs, message: JobMessage) -> None:
    """Through every transition of a job that fails once and then succeeds."""
    await queued(jobs, message)
    seen = [await jobs.read(message.request_id)]
    await jobs.claim(message, "t1")
    seen.append(await jobs.read(message.request_id))
    await jobs.fail(message.request_id, "t1", GeminiFailed())
    seen.append(await jobs.read(message.request_id))
    await jobs.claim(message, "t2")
    await jobs.complete(message, "t2", digest="d1", outcome="MISS")
    seen.append(await jobs.read(message.request_id))
    states = [state for state in seen if state]
    assert ["queued", "running", "queued", "done"] == [state.status for state in states]
    assert 1 == len({state.created_at_ms for state in states})
    updates = [state.created_at_ms for state in states[:1]] + [state.updated_at_ms for state in states]
    assert sorted(updates) == updates


@pytest.mark.parametrize("transition", ["claim", "complete", "abandon", "reject"])
async def test_updated_at_is_never_before_created_at(
    jobs: Jobs, message: JobMessage, record: JobRecord, transition: str
) -> None:
    """Not even after a failover to a Redis whose clock is an hour behind."""
    await queued(jobs, message)
    ahead = now_ms() + HOUR_MS
    await record.rewrite(created_at=ahead, updated_at=ahead)
    match transition:
        case "claim":
            await jobs.claim(message, "t1")
        case "complete":
            await jobs.complete(message, "t1", digest="d1", outcome="MISS")
        case "abandon":
            await jobs.abandon(message.request_id, Code.UNAVAILABLE, "No.")
        case "reject":
            await jobs.reject(message.request_id, Code.BAD_INPUT, "No.")
    state = await jobs.read(message.request_id)
    assert state is not None
    assert "queued" != state.status
    assert (ahead, ahead) == (state.created_at_ms, state.updated_at_ms)
