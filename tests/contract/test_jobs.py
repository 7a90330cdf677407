"""Jobs on a real Valkey begin: what submit and claim write, announce and refuse, and that twice is as good as once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import redis.asyncio
from rubydraw.errors import ContentRefused, GeminiFailed
from rubydraw.jobs.message import JobMessage
from rubydraw.jobs.transitions import Claim, Jobs

from tests.contract.job_record import LEASE_MS, SUBMITTED, JobRecord, queued, running, used_up
from tests.sketches import TRACEPARENT, job, now_ms


@pytest.mark.parametrize(("status", "outcome", "hours"), [("queued", "", 24.0), ("done", "HIT", 1.0)])
async def test_submit_records_a_job_once(
    jobs: Jobs, message: JobMessage, record: JobRecord, status: str, outcome: str, hours: float
) -> None:
    """Sent twice, it is announced once, and both answers say when it was accepted."""
    async with record.announced() as heard:
        first = await jobs.submit(message.request_id, status, **SUBMITTED)
        again = await jobs.submit(message.request_id, status, **SUBMITTED)
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


@pytest.mark.parametrize(
    ("held", "comes", "generation", "kind"),
    [
        ("m1", "m2", 0, "surplus"),
        ("m1", "m1", 0, "busy"),
        ("", "m2", 0, "busy"),
        ("m1", "", 0, "busy"),
        ("m1", "m2", 1, "busy"),
    ],
    ids=["another", "the same", "by an older revision", "without an id", "of a replay"],
)
async def test_message_beside_the_one_that_is_held_is_surplus(
    jobs: Jobs, message: JobMessage, record: JobRecord, held: str, comes: str, generation: int, kind: str
) -> None:
    """The one that is held comes again if its worker dies; in doubt, a message is kept."""
    await running(jobs, replace(message, message_id=held))
    before = await record.fields()
    assert kind == (await jobs.claim(replace(message, message_id=comes, generation=generation), "t2")).kind
    assert before == await record.fields()


async def test_message_beside_one_whose_lease_is_over_is_not_surplus(
    jobs: Jobs, message: JobMessage, record: JobRecord
) -> None:
    """Then the message that is held is the later one."""
    await running(jobs, replace(message, message_id="m1"))
    await record.rewrite(lease_until_ms=now_ms() - 1)
    assert Claim("run", attempt=2) == await jobs.claim(replace(message, message_id="m2"), "t2")
    assert "surplus" == (await jobs.claim(replace(message, message_id="m1"), "t3")).kind


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
    """Three attempts began and none settled it: it becomes an error, once, unless it is done after all."""
    await used_up(jobs, message, record)
    async with record.announced() as heard:
        for _ in range(2):
            assert Claim("exhausted") == await jobs.claim(message, "t4")
        for _ in range(2):
            assert ("error", "UNAVAILABLE") == await jobs.exhaust(message.request_id)
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
    assert Claim("exhausted") == await jobs.claim(message, "t4")
    assert ("error", "PROVIDER_FAILED") == await jobs.exhaust(message.request_id)


async def test_only_a_job_that_nobody_holds_and_that_has_had_its_attempts_is_exhausted(
    jobs: Jobs, message: JobMessage, record: JobRecord
) -> None:
    """What another does meanwhile stands: a replay, an attempt, an end."""
    assert ("", "") == await jobs.exhaust(message.request_id)
    await running(jobs, message)
    assert ("running", "") == await jobs.exhaust(message.request_id)
    await record.lapse()
    assert ("running", "") == await jobs.exhaust(message.request_id)
    await record.rewrite(attempt=3, status="done")
    assert ("done", "") == await jobs.exhaust(message.request_id)


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
