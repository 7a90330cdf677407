"""Time and jobs on a real Valkey: leases are kept, old jobs expire, and readers see times that rise."""

from __future__ import annotations

import asyncio
import uuid

import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.errors import Code, GeminiFailed
from rubydraw.jobs.message import JobMessage
from rubydraw.jobs.transitions import Claim, Jobs
from rubydraw.redis.store import Script, Store

from tests.contract.job_record import LEASE_MS, JobRecord, queued, running, until_prolonged
from tests.sketches import HOUR_MS, job, now_ms


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
    async with asyncio.timeout(5):
        with jobs.lease(message.request_id, "t1"):
            await record.rewrite(lease_until_ms=now_ms() + 100)
            await until_prolonged(record)


async def test_lost_lease_does_not_end_the_work(
    jobs: Jobs, message: JobMessage, record: JobRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drawing is worth having whoever holds the job; the other's lease is not touched."""
    beats, beat = asyncio.Semaphore(0), jobs._beat

    async def counted(*held: str) -> None:
        await beat(*held)
        beats.release()

    monkeypatch.setattr(jobs, "_beat", counted)
    await running(jobs, message)
    async with asyncio.timeout(5):
        with jobs.lease(message.request_id, "t1"):
            await record.rewrite(token="t2", lease_until_ms=7)
            for _ in range(3):
                await beats.acquire()
            assert ("7",) == await record.named("lease_until_ms")


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


async def test_a_job_of_less_than_an_hour_does_not_expire(
    jobs: Jobs, message: JobMessage, record: JobRecord, store: Store
) -> None:
    """A minute before the end of its hour it is queued for its reader, and begun for a worker."""
    await queued(jobs, message)
    await record.rewrite(created_at=now_ms() - HOUR_MS + 60_000)
    assert 0 == await store.script(Script("job", "expire"), [record.key], (keys.channel(message.request_id), HOUR_MS))
    state = await jobs.read(message.request_id)
    assert "queued" == (state and state.status)
    assert Claim("run", attempt=1) == await jobs.claim(message, "t1")


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


async def test_reader_that_comes_too_late_does_not_undo_a_done_job(
    jobs: Jobs, message: JobMessage, record: JobRecord, store: Store
) -> None:
    """Between its look and its word the job was settled."""
    await queued(jobs, message)
    await jobs.complete(message, "t1", digest="d1", outcome="MISS")
    await record.age(hours=2)
    expire = store.script(Script("job", "expire"), [record.key], (keys.channel(message.request_id), HOUR_MS))
    assert 0 == await expire
    assert ("done",) == await record.named("status")


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
        "3FEE8F3D-A15E-4231-804B-B87EDDA0AC46",
        "f80371aa-e75d-11f1-8cea-02fc00000001",
        "af922541-0e34-4171-864f-dc28c39af335\n",
        " e813f017-7115-4755-a627-4db0989ea065",
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
            await jobs.reject(message.request_id, Code.BAD_INPUT, "No.", generation=0, owner="")
    state = await jobs.read(message.request_id)
    assert state is not None
    assert "queued" != state.status
    assert (ahead, ahead) == (state.created_at_ms, state.updated_at_ms)
