"""Following a job on a real Valkey: what is told, when it ends, and what Redis' absence means."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.drawings.results import Results
from rubydraw.errors import Code, GeminiFailed, Stopping, StoreUnavailable, Unavailable
from rubydraw.jobs import updates
from rubydraw.jobs.message import JobMessage
from rubydraw.jobs.state import JobState
from rubydraw.jobs.transitions import Jobs
from rubydraw.jobs.updates import Updates
from rubydraw.redis import store
from rubydraw.redis.connection import Command
from rubydraw.redis.store import Store, connect
from rubydraw.watch import Seen, Watch

from tests.contract.job_record import JobRecord
from tests.contract.wire_proxy import WireProxy
from tests.sketches import HOUR_MS, drawing, job

DRAWING = drawing()


def jobs_of(store: Store) -> Jobs:
    return Jobs(store, lease_ms=5000, heartbeat_ms=200, max_attempts=3, max_age_ms=HOUR_MS)


@pytest.fixture
def jobs(store: Store) -> Jobs:
    return jobs_of(store)


@pytest.fixture
def watch(store: Store, heard: Updates) -> Watch:
    return Watch(jobs_of(store), Results(store), heard)


@pytest.fixture
async def far_watch(wire: WireProxy, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watch]:
    """A watch at the far end of a wire, which looks often and closes its breaker soon."""
    monkeypatch.setattr(updates, "LOOK_S", (0.1, 0.2))
    monkeypatch.setattr(store, "OPEN_S", 0.2)
    far = connect(f"redis://127.0.0.1:{wire.address}/0", "")
    heard = Updates(far.connection)
    yield Watch(jobs_of(far), Results(far), heard)
    await heard.close()
    await far.close()


async def queued(jobs: Jobs) -> JobMessage:
    message = job()
    await jobs.submit(message.request_id, "queued", digest=message.digest, owner="", trace="")
    return message


async def done(jobs: Jobs, store: Store, message: JobMessage) -> None:
    await Results(store).put(message.digest, DRAWING)
    await jobs.complete(message, "t1", digest=message.digest, outcome="MISS")


async def told(states: AsyncGenerator[Seen]) -> Seen:
    async with asyncio.timeout(10):
        return await anext(states)


async def reads(raw: redis.asyncio.Redis) -> int:
    """How many states have been read since the statistics began."""
    commands = await raw.info("commandstats")
    return int(commands.get("cmdstat_pttl", {"calls": 0})["calls"])


async def test_each_transition_is_told_up_to_the_final_one(watch: Watch, jobs: Jobs, store: Store) -> None:
    """The state on subscribing, then each change, then the end; the drawing comes with `done` alone."""
    message = await queued(jobs)
    states = watch.follow(message.request_id)
    seen = [await told(states)]
    await jobs.claim(message, "t1")
    seen.append(await told(states))
    await jobs.fail(message.request_id, "t1", GeminiFailed())
    seen.append(await told(states))
    await jobs.claim(message, "t2")
    seen.append(await told(states))
    await done(jobs, store, message)
    seen.append(await told(states))
    assert ["queued", "running", "queued", "running", "done"] == [each.status for each in seen]
    assert [0, 1, 1, 2, 2] == [each.job.attempt for each in seen if each.job]
    assert [None] * 4 + [DRAWING] == [each.drawing for each in seen]
    with pytest.raises(StopAsyncIteration):
        await anext(states)


async def test_a_renewed_lease_is_no_change(
    watch: Watch, jobs: Jobs, store: Store, raw: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often a viewer looks, the same state is told once."""
    monkeypatch.setattr(updates, "LOOK_S", (0.01, 0.02))
    message = await queued(jobs)
    await jobs.claim(message, "t1")
    states = watch.follow(message.request_id)
    assert "running" == (await told(states)).status
    following = asyncio.create_task(told(states))
    await raw.config_resetstat()
    async with asyncio.timeout(10):
        while await reads(raw) < 5:
            await jobs.renew(message.request_id, "t1")
    assert not following.done()
    await done(jobs, store, message)
    assert "done" == (await following).status


async def test_who_reads_late_is_told_the_last_state(watch: Watch, jobs: Jobs, store: Store) -> None:
    """States in between may be missed, the final one is not."""
    message = await queued(jobs)
    states = watch.follow(message.request_id)
    assert "queued" == (await told(states)).status
    await jobs.claim(message, "t1")
    await done(jobs, store, message)
    assert "done" == (await told(states)).status


NO_IDS = ("", "*", "x\r\n", "37782224-2F99-41AE-B363-3ECC789EEC74", "d567200a-e75e-11f1-ab1d-02fc00000001")


@pytest.mark.parametrize("request_id", NO_IDS)
async def test_no_channel_is_made_of_what_is_no_id(watch: Watch, heard: Updates, request_id: str) -> None:
    """It is unknown at once, and nothing of it reaches Redis."""
    assert [Seen("not_found")] == [seen async for seen in watch.follow(request_id)]
    assert 0 == heard.viewers


async def test_an_unknown_job_and_a_settled_one_end_at_once(watch: Watch, jobs: Jobs, store: Store) -> None:
    """One state each."""
    message = await queued(jobs)
    await done(jobs, store, message)
    for request_id, status in ((str(uuid.uuid4()), "not_found"), (message.request_id, "done")):
        assert [status] == [seen.status async for seen in watch.follow(request_id)]


async def test_a_job_that_is_forgotten_while_it_is_followed_is_not_found(
    watch: Watch, jobs: Jobs, raw: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of its life is announced by nobody, so it is found by looking."""
    monkeypatch.setattr(updates, "LOOK_S", (0.05, 0.1))
    message = await queued(jobs)
    states = watch.follow(message.request_id)
    assert "queued" == (await told(states)).status
    await raw.pexpire(keys.status(message.request_id), 1)
    assert Seen("not_found") == await told(states)
    with pytest.raises(StopAsyncIteration):
        await anext(states)


async def test_a_job_too_old_is_settled_by_whoever_follows_it(
    watch: Watch, jobs: Jobs, raw: redis.asyncio.Redis
) -> None:
    """Nobody watches a queued job for ever."""
    message = await queued(jobs)
    await JobRecord(raw, message.request_id).age(2)
    assert [("error", Code.EXPIRED)] == [(seen.status, seen.code) async for seen in watch.follow(message.request_id)]


async def test_without_redis_the_first_state_is_unavailable(far_watch: Watch, wire: WireProxy) -> None:
    """Never not_found, which is a statement about the id."""
    wire.silent = True
    with pytest.raises(StoreUnavailable):
        await told(far_watch.follow(str(uuid.uuid4())))


async def test_a_later_state_is_tried_until_it_can_be_read(
    far_watch: Watch, wire: WireProxy, jobs: Jobs, store: Store
) -> None:
    """Redis hangs in mid-stream: nothing is told meanwhile, and afterwards what is true then."""
    message = await queued(jobs)
    states = far_watch.follow(message.request_id)
    assert "queued" == (await told(states)).status
    wire.silent = True
    await done(jobs, store, message)
    following = asyncio.create_task(told(states))
    with pytest.raises(StoreUnavailable):
        await far_watch.once(message.request_id)
    assert not following.done()
    wire.silent = False
    wire.hang_up()
    assert "done" == (await following).status


class Shaky(Jobs):
    """Reads fail while `away`; what was read is held back while `passing` is not set."""

    away, failed, held = False, 0, 0
    passing: asyncio.Event

    async def read_with(self, request_id: str, *commands: Command) -> tuple[JobState | None, list[Any]]:
        if self.away:
            self.failed += 1
            raise StoreUnavailable
        state = await super().read_with(request_id, *commands)
        self.held += 1
        await self.passing.wait()
        return state


@pytest.fixture
def shaky(store: Store) -> Shaky:
    shaky = Shaky(store, lease_ms=5000, heartbeat_ms=200, max_attempts=3, max_age_ms=HOUR_MS)
    shaky.passing = asyncio.Event()
    shaky.passing.set()
    return shaky


async def test_a_later_state_that_cannot_be_read_is_no_end(
    shaky: Shaky, store: Store, heard: Updates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it fails."""
    monkeypatch.setattr(updates, "LOOK_S", (0.01, 0.02))
    message = await queued(shaky)
    states = Watch(shaky, Results(store), heard).follow(message.request_id)
    assert "queued" == (await told(states)).status
    shaky.away = True
    following = asyncio.create_task(told(states))
    async with asyncio.timeout(10):
        while shaky.failed < 5:
            await asyncio.sleep(0.01)
    assert not following.done()
    shaky.away = False
    await done(shaky, store, message)
    assert "done" == (await following).status


async def test_nobody_is_told_what_was_read_before_he_came(shaky: Shaky, store: Store, heard: Updates) -> None:
    """A read for others that is on its way may be older than what this viewer was told to look for."""
    watch, message = Watch(shaky, Results(store), heard), await queued(shaky)
    shaky.passing.clear()
    early, late = watch.follow(message.request_id), watch.follow(message.request_id)
    first = asyncio.create_task(told(early))
    async with asyncio.timeout(10):
        while shaky.held < 1:
            await asyncio.sleep(0.01)
    await shaky.claim(message, "t1")
    second = asyncio.create_task(told(late))
    async with asyncio.timeout(10):
        while shaky.held < 2:
            await asyncio.sleep(0.01)
    shaky.passing.set()
    assert ("queued", "running") == ((await first).status, (await second).status)
    for states in (early, late):
        await states.aclose()


async def test_one_change_is_read_once_for_all_viewers(
    watch: Watch, jobs: Jobs, raw: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty viewers of one job cost Redis what one does."""
    monkeypatch.setattr(updates, "LOOK_S", (60.0, 60.0))
    message = await queued(jobs)
    all_states = [watch.follow(message.request_id) for _ in range(50)]
    await asyncio.gather(*map(told, all_states))
    following = [asyncio.create_task(told(states)) for states in all_states]
    await asyncio.sleep(0)
    await raw.config_resetstat()
    await jobs.claim(message, "t1")
    assert ["running"] * 50 == [seen.status for seen in await asyncio.gather(*following)]
    assert 1 == await reads(raw)
    for states in all_states:
        await states.aclose()


async def test_leaving_at_any_moment_frees_the_viewer(watch: Watch, jobs: Jobs, heard: Updates) -> None:
    """Before the first state, between two, and after one."""
    message = await queued(jobs)
    never_asked = watch.follow(message.request_id)
    async with aclosing(watch.follow(message.request_id)) as states:
        assert "queued" == (await told(states)).status
        waiting = asyncio.create_task(told(states))
        await asyncio.sleep(0)
        assert 1 == heard.viewers
        waiting.cancel()
        await asyncio.wait((waiting,))
    await never_asked.aclose()
    assert 0 == heard.viewers


async def test_a_stop_is_no_state(watch: Watch, jobs: Jobs, heard: Updates) -> None:
    """Whoever follows is sent to another instance."""
    message = await queued(jobs)
    states = watch.follow(message.request_id)
    await told(states)
    heard.stop()
    with pytest.raises(Stopping):
        await told(states)
    with pytest.raises(Stopping):
        await told(watch.follow(message.request_id))


async def test_waiting_ends_with_the_settled_state(watch: Watch, jobs: Jobs, store: Store) -> None:
    """The drawing is there as soon as it is announced."""
    message = await queued(jobs)
    waiting = asyncio.create_task(watch.settled(message.request_id, within_s=10))
    await jobs.claim(message, "t1")
    await done(jobs, store, message)
    seen = await waiting
    assert seen
    assert ("done", DRAWING) == (seen.status, seen.drawing)


async def test_waiting_ends_without_a_state_when_none_can_be_said(
    watch: Watch, far_watch: Watch, wire: WireProxy, jobs: Jobs, store: Store, heard: Updates
) -> None:
    """In time: not settled, unknown, without room for anybody or for this caller, without Redis, stopping."""
    message = await queued(jobs)
    assert None is await watch.settled(message.request_id, within_s=0.05)
    assert None is await watch.settled(str(uuid.uuid4()), within_s=5)
    full = Updates(store.connection, max_viewers=0)
    with pytest.raises(Unavailable):
        await told(Watch(jobs, Results(store), full).follow(message.request_id))
    assert None is await Watch(jobs, Results(store), full).settled(message.request_id, within_s=5)
    async with AsyncExitStack() as many:
        for _ in range(updates.MAX_VIEWERS_OF_ONE):
            await many.enter_async_context(heard.of(message.request_id, "ada"))
        async with asyncio.timeout(30):
            assert None is await watch.settled(message.request_id, account="ada", within_s=60)
    wire.silent = True
    assert None is await far_watch.settled(message.request_id, within_s=30)
    heard.stop()
    assert None is await watch.settled(message.request_id, within_s=5)
