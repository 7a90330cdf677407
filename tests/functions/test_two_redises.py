"""Results with a Redis of their own (`CACHE_REDIS_URL`): the same jobs and answers, in a few more round trips."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
import redis.asyncio
from rubydraw import keys

from tests import servers
from tests.functions.deliveries import ACKNOWLEDGED, Deliveries, envelope
from tests.functions.sketch_service import SketchService
from tests.servers import Server
from tests.sketches import job
from tests.stand_ins import GeminiStandIn, PubsubStandIn


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
