"""Results with a Redis of their own (`CACHE_REDIS_URL`): the same jobs and answers, in a few more round trips."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import httpx2
import orjson
import pytest
import redis.asyncio
from rubydraw import keys

from tests import servers
from tests.functions.deliveries import ACKNOWLEDGED, AGAIN, Deliveries, copies, envelope
from tests.functions.sketch_service import SketchService
from tests.redis_proxy import RedisProxy
from tests.servers import Server
from tests.sketches import job, sketch
from tests.stand_ins import GeminiStandIn, PubsubStandIn

OOM = "OOM command not allowed when used memory > 'maxmemory'."


@pytest.fixture(scope="module")
def split_environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"CACHE_REDIS_URL": environment["REDIS_URL"].replace("/0", "/1")}


@pytest.fixture(scope="module")
def split_graphql(split_environment: dict[str, str]) -> Iterator[Server]:
    yield from servers.a_function("graphql", split_environment)


@pytest.fixture(scope="module")
def split_worker(split_environment: dict[str, str]) -> Iterator[Server]:
    yield from servers.a_function("worker", split_environment)


@pytest.fixture
async def kept(split_environment: dict[str, str], raw: redis.asyncio.Redis) -> AsyncIterator[redis.asyncio.Redis]:
    """A plain client of the Redis that has the results."""
    async with redis.asyncio.Redis.from_url(split_environment["CACHE_REDIS_URL"]) as client:
        yield client


async def test_a_sketch_is_drawn_once_for_all_jobs(
    split_graphql: Server,
    split_worker: Server,
    http: httpx2.AsyncClient,
    raw: redis.asyncio.Redis,
    kept: redis.asyncio.Redis,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
) -> None:
    """Queued and drawn, then done at once; the drawing is with the results, and all else with the state."""
    service, deliveries = SketchService(http, split_graphql.url), Deliveries(http, split_worker.url, raw)
    first = await service.submit()
    ((data, attributes),) = await pubsub_stand_in.pulled()
    assert ACKNOWLEDGED == await deliveries.post(envelope(data, attributes))
    again = await service.submit()
    states = [await service.status(each) for each in (first, again)]
    assert [("done", "MISS"), ("done", "HIT")] == [
        (state["status"], state["result"]["provenance"]["cache"]) for state in states
    ]
    assert (1, []) == (await gemini_stand_in.calls(), await pubsub_stand_in.pulled())
    assert [0, 1] == [len(await each.keys(keys.result("*"))) for each in (raw, kept)]
    assert [] == await raw.keys(keys.flight("*"))  # its drawing was stored elsewhere, and it was let go of


async def test_a_job_is_never_done_without_its_drawing(
    split_worker: Server,
    http: httpx2.AsyncClient,
    raw: redis.asyncio.Redis,
    kept: redis.asyncio.Redis,
    gemini_stand_in: GeminiStandIn,
) -> None:
    """A hit outlives the job that names it; what is damaged is drawn again."""
    deliveries = Deliveries(http, split_worker.url, raw)
    for message, outcome in ((job(), "MISS"), (job(), "HIT")):
        assert ACKNOWLEDGED == await deliveries.push(message)
        assert ("done", outcome) == await deliveries.state(message, "status", "outcome")
        (key,) = await kept.keys(keys.result("*"))
        assert await raw.pttl(keys.status(message.request_id)) < await kept.pttl(key)
        await kept.pexpire(key, 60_000)
    await kept.hset(key, "image", b"")
    assert ACKNOWLEDGED == await deliveries.push(last := job())
    assert ("done", "MISS") == await deliveries.state(last, "status", "outcome")
    assert 2 == await gemini_stand_in.calls()


@pytest.fixture(scope="module")
def far_worker(environment: dict[str, str], proxy_of_session: RedisProxy) -> Iterator[Server]:
    """A worker with a network between it and its results."""
    far = {"CACHE_REDIS_URL": proxy_of_session.url.replace("/0", "/1"), "LEASE_MS": "1000", "HEARTBEAT_MS": "100"}
    yield from servers.a_function("worker", environment | far)


@pytest.fixture
def far_deliveries(far_worker: Server, http: httpx2.AsyncClient, raw: redis.asyncio.Redis) -> Deliveries:
    return Deliveries(http, far_worker.url, raw)


async def test_results_that_take_nothing_end_no_job(
    far_deliveries: Deliveries,
    far_worker: Server,
    redis_proxy: RedisProxy,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
) -> None:
    """
    Not even after its third attempt, which has its drawing: it is kept once they do, and the job done.

    The log says which Redis it is.
    """
    message = job(sketch=sketch(hints="full"))
    await far_deliveries.accepted(message, attempt=2)
    for command in ("store_drawing", "keep"):
        redis_proxy.fail("refuse", command, error=OOM, times=10_000)
    assert AGAIN == await far_deliveries.push(message)
    await far_deliveries.rewrite(message, lease_until_ms=1)
    assert AGAIN == await far_deliveries.push(message)
    assert ("running", "3") == await far_deliveries.state(message, "status", "attempt")
    redis_proxy.clear()
    assert ACKNOWLEDGED == await far_deliveries.push(message)
    assert ("done", "HIT") == await far_deliveries.state(message, "status", "outcome")
    assert (1, []) == (await gemini_stand_in.calls(), await copies(pubsub_stand_in))
    told = [orjson.loads(line) for line in far_worker.lines if ".lost" in line]
    assert {("WARNING", "results.lost", "OOM")} == {(line["severity"], line["message"], line["kind"]) for line in told}


@pytest.mark.parametrize("ceiling", ["PRINCIPAL_DAILY_CALLS", "DAILY_CALLS"])
async def test_a_full_state_is_no_way_past_a_ceiling(
    environment: dict[str, str],
    http: httpx2.AsyncClient,
    raw: redis.asyncio.Redis,
    gemini_stand_in: GeminiStandIn,
    ceiling: str,
) -> None:
    """Its Redis evicts nothing, so a caller may fill it with jobs; then no flight is taken, and each call counts."""
    with contextmanager(servers.a_valkey)() as results:
        apart = environment | {"CACHE_REDIS_URL": f"redis://127.0.0.1:{results.port}/0", ceiling: "3"}
        with servers.running_function("graphql", apart) as server:
            await raw.config_set("maxmemory-policy", "noeviction")
            await raw.config_set("maxmemory", "1")
            payloads = [await SketchService(http, server.url).improve(shade) for shade in range(5)]
    codes = [payload["problem"]["code"] if payload["problem"] else None for payload in payloads]
    assert [None] * 3 + ["BUDGET_EXCEEDED"] * 2 == codes
    assert 3 == await gemini_stand_in.calls()


async def test_a_drawing_that_cannot_be_looked_after_costs_no_attempt(
    far_deliveries: Deliveries, redis_proxy: RedisProxy, gemini_stand_in: GeminiStandIn
) -> None:
    """The job made no call: it was a hit, and only that it is kept for long enough could not be seen to."""
    assert ACKNOWLEDGED == await far_deliveries.push(job(sketch=sketch(hints="hit")))
    message = job(sketch=sketch(hints="hit"))
    redis_proxy.fail("refuse", "keep", error=OOM, times=10_000)
    assert AGAIN == await far_deliveries.push(message)
    assert ("queued", "0") == await far_deliveries.state(message, "status", "attempt")
    redis_proxy.clear()
    assert ACKNOWLEDGED == await far_deliveries.push(message)
    assert ("done", "1") == await far_deliveries.state(message, "status", "attempt")
    assert 1 == await gemini_stand_in.calls()
