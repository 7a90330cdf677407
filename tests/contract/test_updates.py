"""Hearing of jobs over one connection to a real Valkey: who hears what, who is freed, and what a lost one costs."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest
import redis.asyncio
from rubydraw import keys, logs
from rubydraw.errors import RateLimited, Stopping, Unavailable
from rubydraw.jobs import updates
from rubydraw.jobs.updates import Updates, Viewer
from rubydraw.redis.store import Store, connect

from tests.contract.wire_proxy import NO_MAP, WireProxy

JOB, OTHER, LAST = (str(uuid.uuid4()) for _ in range(3))


@pytest.fixture
async def far(wire: WireProxy) -> AsyncIterator[Updates]:
    """The same, at the far end of the wire."""
    store = connect(f"redis://127.0.0.1:{wire.address}/0", "")
    far = Updates(store.connection)
    yield far
    await far.close()
    await store.close()


@pytest.fixture
def no_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks without having heard something."""
    monkeypatch.setattr(updates, "LOOK_S", (60.0, 60.0))


async def until(condition: Callable[[], Any]) -> None:
    """Poll to a deadline."""
    async with asyncio.timeout(10):
        while not (await result if asyncio.iscoroutine(result := condition()) else result):
            await asyncio.sleep(0.01)


async def subscribers(raw: redis.asyncio.Redis, job: str = JOB) -> int:
    ((_, count),) = await raw.pubsub_numsub(keys.channel(job))
    return int(count)


async def connections(raw: redis.asyncio.Redis) -> list[dict[str, str]]:
    found: list[dict[str, str]] = await raw.client_list(_type="pubsub")
    return found


async def hears(viewer: Viewer, *, within_s: float = 20) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await viewer.news()
    except TimeoutError:
        return False
    return True


@pytest.mark.usefixtures("no_looking")
async def test_redis_has_confirmed_before_a_viewer_reads(heard: Updates, raw: redis.asyncio.Redis) -> None:
    """Whatever is announced after the read is heard, by those who ask for that job and by no others."""
    async with heard.of(JOB) as one, heard.of(JOB) as two, heard.of(OTHER) as other:
        assert [1, 1] == [await subscribers(raw), await subscribers(raw, OTHER)]
        assert not await hears(one, within_s=0.05)
        await raw.publish(keys.channel(JOB), "running")
        assert [True, True, False] == [await hears(one), await hears(two), await hears(other, within_s=0.05)]


@pytest.mark.usefixtures("no_looking")
async def test_a_viewer_who_is_late_hears_once_of_all_that_was(heard: Updates, raw: redis.asyncio.Redis) -> None:
    """What waits for a slow viewer is one piece of news, however much there was."""
    async with heard.of(JOB) as viewer:
        for _ in range(100):
            await raw.publish(keys.channel(JOB), "running")
        async with heard.of(OTHER):  # confirmed behind the hundred on the same connection
            pass
        assert [True, False] == [await hears(viewer), await hears(viewer, within_s=0.05)]


async def test_any_number_of_viewers_share_one_connection_which_goes_with_the_last(
    heard: Updates, raw: redis.asyncio.Redis
) -> None:
    """Two hundred viewers of two hundred jobs: one connection, and no subscription once nobody wants it."""
    jobs = [str(uuid.uuid4()) for _ in range(200)]
    contexts = [heard.of(job) for job in jobs]
    await asyncio.gather(*(context.__aenter__() for context in contexts))
    (connection,) = await connections(raw)
    assert ("200", 200) == (connection["sub"], heard.viewers)
    for context in contexts[1:]:
        await context.__aexit__(None, None, None)
    await until(lambda: _has(raw, sub="1"))
    await contexts[0].__aexit__(None, None, None)
    await until(lambda: _has_none(raw))
    assert 0 == heard.viewers


async def _has(raw: redis.asyncio.Redis, *, sub: str) -> bool:
    return [sub] == [connection["sub"] for connection in await connections(raw)]


async def _has_none(raw: redis.asyncio.Redis) -> bool:
    return not await connections(raw)


@pytest.mark.usefixtures("no_looking")
async def test_a_confirmation_for_who_has_left_confirms_nothing(
    far: Updates, wire: WireProxy, raw: redis.asyncio.Redis
) -> None:
    """The next one who asks for that job would be told that it hears before it does."""
    async with far.of(OTHER):
        wire.slow_s = 0.5
        entering = asyncio.create_task(far.of(JOB).__aenter__())
        await until(lambda: subscribers(raw))
        entering.cancel()
        await asyncio.wait((entering,))
        wire.slow_s = 0
        async with far.of(LAST):  # confirmed behind that one on the same connection
            assert {keys.channel(each).encode() for each in (OTHER, LAST)} == far._confirmed


@pytest.mark.usefixtures("no_looking")
async def test_nobody_is_deafened_by_one_who_leaves(heard: Updates, raw: redis.asyncio.Redis) -> None:
    """However viewers come and go in turns on one channel, who is there hears."""
    for turn in range(60):
        leaving = heard.of(JOB)
        await leaving.__aenter__()
        others = [heard.of(OTHER)] if turn % 3 else []
        for context in others:
            await context.__aenter__()
        await leaving.__aexit__(None, None, None)
        for _ in range(turn % 4):  # so many turns of the loop lie between the two
            await asyncio.sleep(0)
        async with heard.of(JOB) as viewer:
            await raw.publish(keys.channel(JOB), "running")
            assert await hears(viewer), turn
        for context in others:
            await context.__aexit__(None, None, None)


@pytest.mark.usefixtures("no_looking")
@pytest.mark.parametrize("lost", [False, True])
async def test_an_earlier_confirmation_counts_no_more(
    far: Updates, wire: WireProxy, raw: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    """Of a channel that was left, or of a connection that was lost."""
    monkeypatch.setattr(updates, "CONFIRM_S", 60.0)
    async with far.of(JOB), far.of(OTHER):
        pass
    async with far.of(OTHER):
        if lost:
            async with far.of(JOB):
                before, wire.silent = wire.connections, True
                wire.hang_up()
                await until(lambda: wire.connections > before)
                entering = asyncio.create_task(far.of(JOB).__aenter__())
                assert not (await asyncio.wait((entering,), timeout=0.1))[0]
        else:
            async with far.of(JOB):
                pass
            await until(lambda: _left(raw))
            wire.silent = True
            entering = asyncio.create_task(far.of(JOB).__aenter__())
            assert not (await asyncio.wait((entering,), timeout=0.1))[0]
        entering.cancel()
        await asyncio.wait((entering,))


async def _left(raw: redis.asyncio.Redis) -> bool:
    return await subscribers(raw) == 0


async def test_a_viewer_cancelled_before_it_is_confirmed_leaves_nothing(
    far: Updates, wire: WireProxy, raw: redis.asyncio.Redis
) -> None:
    """Even while Redis says nothing."""
    wire.silent = True

    async def view() -> None:
        async with far.of(JOB):
            pytest.fail("it was never confirmed")

    viewing = asyncio.create_task(view())
    await until(lambda: far.viewers == 1)
    viewing.cancel()
    await asyncio.wait((viewing,))
    wire.silent = False
    assert 0 == far.viewers
    await until(lambda: _has_none(raw))


@pytest.mark.usefixtures("no_looking")
async def test_a_killed_connection_is_replaced_and_everybody_looks(heard: Updates, raw: redis.asyncio.Redis) -> None:
    """What was announced in between is lost, so the new confirmation is news."""
    async with heard.of(JOB) as viewer:
        assert 1 == await raw.client_kill_filter(_type="pubsub")
        assert await hears(viewer)
        assert not await hears(viewer, within_s=0.05)
        await raw.publish(keys.channel(JOB), "done")
        assert await hears(viewer)
        assert 1 == len(await connections(raw))


@pytest.mark.usefixtures("no_looking")
async def test_a_connection_that_says_nothing_any_more_is_replaced(
    far: Updates, wire: WireProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that swallows everything is noticed by a PING without an answer."""
    monkeypatch.setattr(updates, "QUIET_S", 0.1)
    monkeypatch.setattr(updates, "CONNECT_S", 0.2)
    async with far.of(JOB) as viewer:
        before = wire.connections
        await asyncio.wait((asyncio.create_task(hears(viewer, within_s=0.5)),))  # quiet, but alive: nothing happens
        assert before == wire.connections
        wire.silent = True
        await until(lambda: wire.connections > before)
        wire.silent = False
        assert await hears(viewer, within_s=5)


@pytest.mark.usefixtures("no_looking", "logging_as_it_was")
async def test_an_outage_is_told_once_a_minute(
    far: Updates, wire: WireProxy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not at each try to connect again."""
    monkeypatch.setattr(updates, "RECONNECT_S", (0.0, 0.0))
    logs.start(level="INFO", project="")
    async with far.of(JOB):
        wire.drop = 5
        wire.hang_up()
        await until(lambda: not wire.drop)
    (line,) = capsys.readouterr().out.splitlines()
    assert ("updates.lost", 1) == ((told := orjson.loads(line))["message"], told["viewers"])


@pytest.mark.usefixtures("no_looking", "logging_as_it_was")
async def test_what_cannot_be_read_ends_one_connection(
    far: Updates,
    wire: WireProxy,
    raw: redis.asyncio.Redis,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Another is opened while there are viewers, however often it comes."""
    monkeypatch.setattr(updates, "RECONNECT_S", (0.0, 0.0))
    logs.start(level="INFO", project="")
    async with far.of(JOB) as viewer:
        wire.instead = NO_MAP  # as it connects, too
        wire.say(NO_MAP)
        await until(lambda: wire.connections > 2)
        wire.instead = b""
        assert await hears(viewer)
        await raw.publish(keys.channel(JOB), "done")
        assert await hears(viewer)
    assert "TypeError" == orjson.loads(capsys.readouterr().out)["kind"]


async def test_without_a_connection_everybody_looks_every_few_seconds(
    far: Updates, wire: WireProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A viewer is let in after a second without confirmation, and has news without hearing any."""
    monkeypatch.setattr(updates, "LOOK_S", (0.2, 0.3))
    monkeypatch.setattr(updates, "CONFIRM_S", 0.1)
    wire.silent = True
    async with far.of(JOB) as viewer:
        assert [True, True] == [await hears(viewer), await hears(viewer)]


async def test_nobody_waits_longer_than_five_seconds_for_a_look() -> None:
    """The poll interval of the contract, with some jitter."""
    assert 0 < updates.LOOK_S[0] < updates.LOOK_S[1] <= 5


@pytest.mark.usefixtures("logging_as_it_was")
async def test_one_viewer_too_many_is_refused(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """The others stay, and there is room again once one has left; the log says that this instance is full."""
    logs.start(level="INFO", project="")
    heard = Updates(store.connection, max_viewers=1)
    async with heard.of(JOB):
        with pytest.raises(Unavailable) as refused:
            await heard.of(JOB).__aenter__()
        assert refused.value.retry_after_s
    async with heard.of(OTHER):
        assert 1 == heard.viewers
    await heard.close()
    (line,) = capsys.readouterr().out.splitlines()
    assert ("instance.full", "viewers") == ((told := orjson.loads(line))["message"], told["of"])


async def test_one_viewer_too_many_of_a_caller_is_refused(heard: Updates, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the jobs; others come in, and so does the caller once one has left; of nobody's there are any number."""
    monkeypatch.setattr(updates, "MAX_VIEWERS_OF_ONE", 2)
    async with heard.of(JOB, "ada"), heard.of(JOB, "bo"), heard.of(JOB), heard.of(JOB), heard.of(JOB):
        async with heard.of(OTHER, "ada"):
            with pytest.raises(RateLimited) as refused:
                await heard.of(LAST, "ada").__aenter__()
            assert refused.value.retry_after_s
        async with heard.of(LAST, "ada"), heard.of(LAST, "bo"):
            assert 7 == heard.viewers
    assert not heard._viewers_of


async def test_a_stop_ends_everybodys_wait_and_lets_nobody_in(heard: Updates) -> None:
    """Whoever waits, reads, or comes."""
    async with heard.of(JOB) as waiting, heard.of(OTHER) as reading:
        wait = asyncio.create_task(waiting.news())
        await asyncio.sleep(0)
        heard.stop()
        for each in (wait, reading.news(), waiting.news(), heard.of(JOB).__aenter__()):
            with pytest.raises(Stopping):
                await each


async def test_nothing_looks_for_a_job_that_nobody_follows(heard: Updates) -> None:
    """Else each job that was ever followed would have a timer for as long as the process lives."""
    async with heard.of(JOB):
        (timer,) = heard._looks.values()
    assert (True, {}) == (timer.cancelled(), heard._looks)
