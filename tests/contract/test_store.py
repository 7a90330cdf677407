"""The Store on a real Valkey, with a network between them that fails as networks do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio
from rubydraw.errors import Code, GeminiBusy, StoreUnavailable
from rubydraw.jobs.transitions import Jobs
from rubydraw.redis import round_trip
from rubydraw.redis.round_trip import COMMAND_TIMEOUT_S
from rubydraw.redis.store import COMMANDS_AT_ONCE, Call, Script, Store, connect, raise_first

from tests.contract.job_record import JobRecord
from tests.contract.wire_proxy import NO_MAP, WireProxy
from tests.servers import Server, free_port
from tests.sketches import HOUR_MS, job


@pytest.fixture
async def far(wire: WireProxy) -> AsyncIterator[Store]:
    """A Store at the far end of the wire."""
    store = connect(f"redis://127.0.0.1:{wire.address}/0", "")
    yield store
    await store.close()


class Clock:
    """A clock that stands still until it is moved."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def clocked(wire: WireProxy, clock: Clock, losses: list[str]) -> AsyncIterator[Store]:
    """A Store at the far end of the wire whose breaker goes by `clock`, and which tells `losses`."""
    store = connect(f"redis://127.0.0.1:{wire.address}/0", "", on_loss=losses.append, clock=clock)
    yield store
    await store.close()


@pytest.fixture
def losses() -> list[str]:
    return []


async def ping(store: Store) -> bool:
    return bool(await store.command("PING"))


async def client_ids(raw: redis.asyncio.Redis) -> set[str]:
    """Who is connected: the servers of other tests too."""
    return {client["id"] for client in await raw.client_list()}


async def outcomes(store: Store, count: int) -> list[str]:
    """What became of so many commands at once, sorted."""
    answers = await asyncio.gather(*(ping(store) for _ in range(count)), return_exceptions=True)
    return sorted(type(answer).__name__ for answer in answers)


# scripts and pipelines


async def test_script_is_sent_whole_only_where_it_is_unknown(store: Store, raw: redis.asyncio.Redis) -> None:
    """By its SHA-1 first, in full once, by its SHA-1 from then on."""
    await raw.script_flush()
    await raw.config_resetstat()
    for _ in range(3):
        assert 0 == await store.script(Script("renew_flight"), ["a-key"], ("token", 1000))
    stats = await raw.info("commandstats")
    assert (3, 1) == (stats["cmdstat_evalsha"]["calls"], stats["cmdstat_eval"]["calls"])


async def test_scripts_run_once_each_in_one_round_trip(store: Store, raw: redis.asyncio.Redis) -> None:
    """Each has its own answer, in order, also where Redis knows only some of them; what is None is not sent."""
    await raw.script_flush()
    takes = [Call(Script("take_place"), [f"places {number}"], ("job", 1, 60_000)) for number in range(2)]
    counts = Call(Script("charge"), ["quota"], (1, 10, 60_000))
    assert 1 == (await store.scripts(takes[0]))[0]
    first, nothing, counted, held = await store.scripts(takes[1], None, counts, takes[0])
    assert (1, None, [1, 9], 1) == (first, nothing, counted[:2], held)
    before = (await raw.info("stats"))["total_reads_processed"]
    assert 8 == (await store.scripts(*takes, counts))[2][1]
    this_question = 1
    assert 1 == (await raw.info("stats"))["total_reads_processed"] - before - this_question
    assert [None, None] == await store.scripts(None, None)


async def test_error_in_a_pipeline_stands_in_its_place(store: Store, raw: redis.asyncio.Redis) -> None:
    """The other answers are there, and `raise_first` makes it ours."""
    await raw.set("text", "no number")
    answers = await store.pipeline(("GET", "text"), ("INCR", "text"), ("SET", "other", 1))
    assert [b"no number", b"OK"] == [answers[0], answers[2]]
    raise_first(answers[:1])
    with pytest.raises(StoreUnavailable):
        raise_first(answers)


async def test_cancelled_command_leaves_nothing_behind(store: Store) -> None:
    """The next one gets its own answer, not that of the one before."""
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await store.command("BLPOP", "never", 5)
        assert b"pong" == await store.command("ECHO", "pong")


async def test_hundreds_of_commands_share_a_few_connections(store: Store, raw: redis.asyncio.Redis) -> None:
    """They wait their turn where no time-out runs."""
    others = await client_ids(raw)
    assert ["bool"] * 500 == await outcomes(store, 500)
    assert len(await client_ids(raw) - others) <= 32


async def test_closed_store_has_no_connection_left(redis_url: str, raw: redis.asyncio.Redis) -> None:
    """Redis counts none but those that were there before."""
    others = await client_ids(raw)
    store = connect(redis_url, "")
    await outcomes(store, 5)
    assert await client_ids(raw) - others
    await store.close()
    async with asyncio.timeout(5):
        while await client_ids(raw) - others:
            await asyncio.sleep(0.01)


# outages


async def test_redis_that_does_not_run_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As our error, without a word of the address, and without waiting for any time-out."""
    monkeypatch.setattr(round_trip, "COMMAND_TIMEOUT_S", 30.0)
    store = connect(f"redis://user:secret@127.0.0.1:{free_port()}/0", "")
    began_s = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        await ping(store)
    assert time.monotonic() - began_s < 30
    assert (Code.UNAVAILABLE, None, True) == (
        caught.value.code, caught.value.__cause__, caught.value.__suppress_context__,
    )  # fmt: skip
    assert "secret" not in str(caught.value)
    await store.close()


async def test_silent_redis_costs_little_and_then_nothing(far: Store, wire: WireProxy) -> None:
    """A command gives up after two tries of half a second; while the breaker is open none is sent."""
    wire.silent = True
    began_s = time.monotonic()
    assert ["StoreUnavailable"] * 20 == await outcomes(far, 20)
    assert time.monotonic() - began_s < 10  # one after the other they would take 20 s
    before, began_s = wire.connections, time.monotonic()
    assert ["StoreUnavailable"] * 100 == await outcomes(far, 100)
    assert time.monotonic() - began_s < 10
    assert before == wire.connections


async def test_busy_event_loop_is_not_taken_for_a_silent_redis(store: Store) -> None:
    """What came in meanwhile is read, and nothing is sent twice."""
    await store.command("PING")
    counted = asyncio.ensure_future(store.command("INCR", "counted"))
    await asyncio.sleep(0)  # it is sent
    time.sleep(COMMAND_TIMEOUT_S + 0.1)  # noqa: ASYNC251 - to be busy is the point
    assert 1 == await counted


async def test_event_loop_that_is_busy_all_along_is_not_taken_for_a_silent_redis(store: Store) -> None:
    """A burst makes each turn of it long, and connecting takes several."""

    async def busy() -> None:
        while True:
            time.sleep(COMMAND_TIMEOUT_S / 3)  # noqa: ASYNC251 - as above
            await asyncio.sleep(0)

    burst = asyncio.create_task(busy())
    try:
        assert [1, 2, 3] == sorted(await asyncio.gather(*(store.command("INCR", "counted") for _ in range(3))))
    finally:
        burst.cancel()


async def test_exactly_one_command_probes_after_two_seconds(clocked: Store, clock: Clock, wire: WireProxy) -> None:
    """The others fail at once until its answer closes the breaker."""
    wire.drop = 100
    assert ["StoreUnavailable"] == await outcomes(clocked, 1)
    wire.drop = 0
    clock.now_s += 1.9
    assert ["StoreUnavailable"] * 10 == await outcomes(clocked, 10)
    clock.now_s += 0.2
    assert ["StoreUnavailable"] * 9 + ["bool"] == await outcomes(clocked, 10)
    assert ["bool"] * 10 == await outcomes(clocked, 10)


async def test_failed_probe_opens_the_breaker_again(clocked: Store, clock: Clock, wire: WireProxy) -> None:
    """For another two seconds."""
    wire.drop = 1000
    await outcomes(clocked, 1)
    clock.now_s += 2.1
    await outcomes(clocked, 1)
    wire.drop = 0
    assert ["StoreUnavailable"] == await outcomes(clocked, 1)
    clock.now_s += 2.1
    assert ["bool"] == await outcomes(clocked, 1)


async def test_an_outage_is_told_once_a_minute(
    clocked: Store, clock: Clock, wire: WireProxy, losses: list[str]
) -> None:
    """However many commands meet it; a connection that is made anew is none."""
    assert ["bool"] == await outcomes(clocked, 1)
    wire.drop = 1
    assert ["bool"] == await outcomes(clocked, 1)
    assert [] == losses
    wire.drop = 1000
    for moved_s, told in ((0, 1), (2.1, 1), (60, 2)):
        clock.now_s += moved_s
        await outcomes(clocked, 10)
        assert told == len(losses)


async def test_refused_writes_are_told_by_redis_own_word(
    clocked: Store, raw: redis.asyncio.Redis, losses: list[str]
) -> None:
    """Not what is wrong with a command, or a script that it does not know yet."""
    await clocked.pipeline(("SET", "kept", "value"), ("INCR", "kept"), ("NO_COMMAND",))
    await clocked.script(Script("renew_flight"), ["kept"], ("token", 1000))
    assert [] == losses
    await raw.config_set("maxmemory-policy", "noeviction")
    await raw.config_set("maxmemory", "1")
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await clocked.command("SET", "new", "value")
    assert ["OOM"] == losses


async def test_keys_that_others_write_are_told_of(clocked: Store, clock: Clock, losses: list[str]) -> None:
    """Also where a script meets them, and where what is foreign counts as absent."""
    for command in (("LRANGE", "foreign", 0, -1), ("EVAL", "return redis.call('LLEN', KEYS[1])", 1, "foreign")):
        clock.now_s += 60
        await clocked.pipeline(("SET", "foreign", "value"), command)
    assert ["WRONGTYPE"] * 2 == losses


@pytest.mark.parametrize("word", ["MOVED", "ASK", "CLUSTERDOWN", "CROSSSLOT", "TRYAGAIN"])
async def test_a_node_of_a_cluster_is_told_of(clocked: Store, wire: WireProxy, losses: list[str], word: str) -> None:
    """By Redis' own word: it answers a PING, and nothing else works."""
    assert await ping(clocked)
    wire.instead = f"-{word} and more\r\n".encode()
    with pytest.raises(StoreUnavailable):
        await clocked.command("GET", "kept")
    assert [word] == losses


@pytest.mark.parametrize("connected", [True, False])
async def test_an_answer_that_cannot_be_read_is_none(
    clocked: Store, wire: WireProxy, losses: list[str], connected: bool
) -> None:
    """Also where redis-py asks, as it connects."""
    if connected:
        assert await ping(clocked)
    wire.instead = NO_MAP
    with pytest.raises(StoreUnavailable):
        await clocked.command("GET", "kept")
    assert ["TypeError"] == losses


async def test_why_there_is_no_connection_is_told_by_a_name(valkey: Server, losses: list[str]) -> None:
    """Nobody listens, or the password is refused; an address is never told."""
    for address in (f"redis://127.0.0.1:{free_port()}/0", f"redis://nobody:secret@127.0.0.1:{valkey.port}/0"):
        store = connect(address, "", on_loss=losses.append)
        assert ["StoreUnavailable"] == await outcomes(store, 1)
        await store.close()
    assert ["ConnectionRefusedError", "AuthenticationError"] == losses


async def test_why_there_is_no_connection_is_nothing_of_its_callers(valkey: Server, losses: list[str]) -> None:
    """Who asks while it deals with another error is told of Redis' own."""
    store = connect(f"redis://nobody:secret@127.0.0.1:{valkey.port}/0", "", on_loss=losses.append)
    try:
        raise KeyError
    except KeyError:
        with pytest.raises(StoreUnavailable):
            await ping(store)
    await store.close()
    assert ["AuthenticationError"] == losses


async def test_broken_connection_is_retried_on_a_fresh_one(far: Store, wire: WireProxy) -> None:
    """The caller notices nothing."""
    wire.drop = 1
    assert await ping(far)
    assert 2 == wire.connections


async def test_restarted_redis_is_found_again_at_once(far: Store, wire: WireProxy) -> None:
    """Connections that died while nobody used them are replaced."""
    assert ["bool"] * 5 == await outcomes(far, 5)
    wire.hang_up()
    assert ["bool"] * 5 == await outcomes(far, 5)


async def test_lost_answers_count_nothing_twice(far: Store, wire: WireProxy, raw: redis.asyncio.Redis) -> None:
    """Each transition of a job is sent again with the same token, and has happened once."""
    jobs = Jobs(far, lease_ms=60_000, heartbeat_ms=1000, max_attempts=3, max_age_ms=HOUR_MS)
    message = job()
    record = JobRecord(raw, message.request_id)
    await ping(far)
    async with record.announced() as heard:
        wire.lose = 1
        await jobs.submit(message.request_id, "queued", digest="d1", owner="", trace="")
        for token in ("t1", "t2"):
            wire.lose = 1
            assert ("run", 1) == await _run(jobs, message, token)
            wire.lose = 1
            assert ("queued", False) == await jobs.fail(message.request_id, token, GeminiBusy())
        await jobs.claim(message, "t3")
        wire.lose = 1
        assert ("done", "") == await jobs.complete(message, "t3", digest="d1", outcome="MISS")
    assert 0 == wire.lose
    assert ["queued", "running", "queued", "running", "queued", "running", "done"] == heard
    assert ("1", "7") == await record.named("attempt", "version")


async def _run(jobs: Jobs, message: Any, token: str) -> tuple[str, int]:
    claim = await jobs.claim(message, token)
    return claim.kind, claim.attempt


# refused writes


async def test_full_redis_refuses_writes_and_still_reads(store: Store, raw: redis.asyncio.Redis) -> None:
    """The breaker stays closed: what is cached is served."""
    await raw.set("kept", "value")
    await raw.config_set("maxmemory-policy", "noeviction")
    await raw.config_set("maxmemory", "1")
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await store.command("SET", "new", "value")
        assert b"value" == await store.command("GET", "kept")


async def test_replica_refuses_writes_and_still_reads(store: Store, raw: redis.asyncio.Redis) -> None:
    """A primary that has just lost its role; once it has it back, writes work again at once."""
    await raw.set("kept", "value")
    await raw.replicaof("127.0.0.1", str(free_port()))
    try:
        with pytest.raises(StoreUnavailable):
            await store.command("SET", "new", "value")
        assert b"value" == await store.command("GET", "kept")
    finally:
        await raw.replicaof("NO", "ONE")
    assert await store.command("SET", "new", "value")


async def test_who_waits_for_a_turn_fails_with_those_before(far: Store, wire: WireProxy) -> None:
    """A burst is more than goes out at once: once the first have found Redis silent the others do not try it too."""
    await ping(far)
    wire.silent = True
    failed = await asyncio.gather(*(ping(far) for _ in range(4 * COMMANDS_AT_ONCE)), return_exceptions=True)
    assert all(isinstance(each, StoreUnavailable) for each in failed)
    assert wire.connections < 3 * COMMANDS_AT_ONCE  # two for each of the first, and some for a probe
