"""One round trip to a real Valkey over a network that splits, adds, cuts and ends: nobody gets another's answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import redis.asyncio
from rubydraw.errors import StoreUnavailable
from rubydraw.redis.connection import BUFFER_BYTES, Connection
from rubydraw.redis.store import Store, connect

from tests.contract.wire_proxy import NO_MAP, WireProxy
from tests.redis_proxy import READONLY, RedisProxy
from tests.servers import POLL_S, WAIT_S, Server

PUSH = b">2\r\n+moving\r\n+soon\r\n"
LOADING = "LOADING Redis is loading the dataset in memory"


@pytest.fixture
async def far(wire: WireProxy) -> AsyncIterator[Store]:
    """A Store at the far end of the wire, with one connection."""
    store = connect(f"redis://127.0.0.1:{wire.address}/0", "")
    await store.command("PING")
    yield store
    await store.close()


@pytest.fixture
def proxy(valkey: Server) -> Iterator[RedisProxy]:
    proxy = RedisProxy(valkey.port)
    with proxy.listening():
        yield proxy


@pytest.fixture
async def refused(proxy: RedisProxy, raw: redis.asyncio.Redis) -> AsyncIterator[Store]:
    """A Store whose commands the proxy may refuse, with one connection."""
    store = connect(proxy.url, "")
    await store.command("PING")
    yield store
    await store.close()


def one_connection(store: Store) -> Connection:
    [connection] = store._round_trips._idle
    return connection


async def echo(store: Store, *words: str) -> list[bytes]:
    return await store.pipeline(*(("ECHO", word) for word in words))


async def test_answers_are_put_together_byte_by_byte(far: Store, wire: WireProxy, raw: redis.asyncio.Redis) -> None:
    """Each is whole, of whatever kind it is, wherever it is split."""
    await raw.hset("hash", mapping={"a": "1", "b": "2"})
    wire.split = True
    answers = await far.pipeline(("ECHO", "a"), ("HMGET", "hash", "a", "c", "b"), ("INCR", "hash"), ("DBSIZE",))
    assert [b"a", [b"1", None, b"2"], 1] == [*answers[:2], answers[3]]
    assert "WRONGTYPE" == str(answers[2])[:9]
    assert 1 == wire.connections


async def test_values_of_any_size_come_and_go_unharmed(store: Store) -> None:
    """Below and above what is read at once, and one behind the other."""
    sizes = [0, 1, BUFFER_BYTES - 1, BUFFER_BYTES, BUFFER_BYTES + 1, 5_000_000, 3]
    values = [bytes([size % 251]) * size for size in sizes]
    await store.pipeline(*(("SET", f"size {size}", value) for size, value in zip(sizes, values, strict=True)))
    assert values == await store.pipeline(*(("GET", f"size {size}") for size in sizes))


@pytest.mark.parametrize(
    "beside",
    [b"+more\r\n", b"$5\r\n", PUSH, b"?\r\n", NO_MAP],  # "$5" would swallow the next answer
)
async def test_what_nobody_asked_for_is_never_taken_for_an_answer(
    far: Store, wire: WireProxy, caplog: pytest.LogCaptureFixture, beside: bytes
) -> None:
    """Behind an answer, or while nothing is asked: the connection is given up, and the next answers are right."""
    wire.beside = beside
    assert [b"a", b"b"] == await echo(far, "a", "b")
    assert [b"c", b"d"] == await echo(far, "c", "d")
    assert 2 == wire.connections
    connection = one_connection(far)
    wire.say(beside)
    await until_lost(connection)
    assert [b"e"] == await echo(far, "e")
    assert (3, []) == (wire.connections, caplog.records)


async def test_push_is_no_answer(far: Store, wire: WireProxy) -> None:
    """Not even where it comes first and there is room for it."""
    wire.ahead, wire.split = PUSH, True
    assert [b"a", b"b"] == await echo(far, "a", "b")
    assert 2 == wire.connections


async def test_half_of_the_answers_is_none(far: Store, wire: WireProxy) -> None:
    """The connection ends between two: both are asked for again."""
    wire.cut = len(b"$1\r\na\r\n")
    assert [b"a", b"b"] == await echo(far, "a", "b")
    assert (0, 2) == (wire.cut, wire.connections)


async def test_connection_that_was_closed_while_idle_is_not_used(far: Store, wire: WireProxy) -> None:
    """It is noticed before: the retry is still there for what goes wrong afterwards."""
    connection = one_connection(far)
    wire.hang_up()
    await until_lost(connection)
    wire.drop = 1
    assert [b"a"] == await echo(far, "a")
    assert 3 == wire.connections


async def test_picture_given_up_halfway_is_not_taken_for_the_next_answer(
    far: Store, wire: WireProxy, raw: redis.asyncio.Redis
) -> None:
    """Who is cancelled while the answer comes takes the connection along, and what is left of it."""
    await raw.set("picture", bytes(1_000_000))
    connection = one_connection(far)
    wire.slow_s = 0.02
    asking = asyncio.create_task(far.command("GET", "picture"))
    async with asyncio.timeout(WAIT_S):
        while not connection._reader.has_data():
            await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    wire.slow_s = 0
    assert [b"a"] == await echo(far, "a")
    assert 2 == wire.connections


@pytest.mark.parametrize("word", [LOADING, READONLY])
async def test_another_connection_may_reach_who_can_answer(refused: Store, proxy: RedisProxy, word: str) -> None:
    """Redis has only just been started, or has lost its role: asked once more, the caller notices nothing."""
    proxy.fail("refuse", "ECHO", error=word)
    before = one_connection(refused)
    assert [b"a"] == await echo(refused, "a")
    assert [] == proxy.left
    assert before is not one_connection(refused)


async def test_redis_that_is_loading_is_away(refused: Store, proxy: RedisProxy) -> None:
    """Twice in a row, and nothing more is sent for two seconds."""
    proxy.fail("refuse", "ECHO", error=LOADING, times=3)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await echo(refused, "a")
    assert [1] == [fault.times for fault in proxy.left]


async def until_lost(connection: Connection) -> None:
    async with asyncio.timeout(WAIT_S):
        while not connection.lost:
            await asyncio.sleep(POLL_S)
