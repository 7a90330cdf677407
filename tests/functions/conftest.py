"""The two functions among real servers, everything emptied before each test that uses them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx2
import pytest
import redis.asyncio
from rubydraw.jobs.message import JobMessage

from tests import servers
from tests.functions.deliveries import Deliveries
from tests.functions.sketch_service import SketchService
from tests.redis_proxy import RedisProxy
from tests.servers import Server
from tests.sketches import job
from tests.stand_ins import GeminiStandIn, PubsubStandIn


@pytest.fixture
def service(
    graphql_server: Server,
    http: httpx2.AsyncClient,
    raw: redis.asyncio.Redis,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
) -> SketchService:
    """The GraphQL function under functions-framework."""
    return SketchService(http, graphql_server.url)


@pytest.fixture
def deliveries(
    worker_server: Server,
    http: httpx2.AsyncClient,
    raw: redis.asyncio.Redis,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
) -> Deliveries:
    """The worker function under functions-framework."""
    return Deliveries(http, worker_server.url, raw)


@pytest.fixture
def message() -> JobMessage:
    """A job accepted just now."""
    return job()


@pytest.fixture(scope="session")
def proxy_of_session(valkey: Server) -> Iterator[RedisProxy]:
    proxy = RedisProxy(valkey.port)
    with proxy.listening():
        yield proxy


@pytest.fixture
def redis_proxy(proxy_of_session: RedisProxy, raw: redis.asyncio.Redis) -> Iterator[RedisProxy]:
    """The way to Redis of the far service and the far worker, without faults; whom a test leaves waiting is let go."""
    yield proxy_of_session
    proxy_of_session.clear()


@pytest.fixture(scope="session")
def far_graphql_server(environment: dict[str, str], proxy_of_session: RedisProxy) -> Iterator[Server]:
    yield from servers.a_function("graphql", environment | {"REDIS_URL": proxy_of_session.url})


@pytest.fixture(scope="session")
def far_worker_server(environment: dict[str, str], proxy_of_session: RedisProxy) -> Iterator[Server]:
    yield from servers.a_function("worker", environment | {"REDIS_URL": proxy_of_session.url})


async def until_ready(http: httpx2.AsyncClient, server: Server) -> None:
    """Poll until a function has an instance that reaches Redis."""
    async with asyncio.timeout(servers.WAIT_S):
        while not await _is_ready(http, server):
            await asyncio.sleep(servers.POLL_S)


async def _is_ready(http: httpx2.AsyncClient, server: Server) -> bool:
    try:
        return (await http.get(f"{server.url}/ready")).status_code == 200
    except httpx2.TransportError:
        return False


@pytest.fixture
async def far_service(
    far_graphql_server: Server,
    http: httpx2.AsyncClient,
    redis_proxy: RedisProxy,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
) -> SketchService:
    """The GraphQL function, whose Redis goes wrong as a test wants."""
    await until_ready(http, far_graphql_server)
    return SketchService(http, far_graphql_server.url)


@pytest.fixture
async def far_deliveries(
    far_worker_server: Server,
    http: httpx2.AsyncClient,
    raw: redis.asyncio.Redis,
    redis_proxy: RedisProxy,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
) -> Deliveries:
    """The worker function, whose Redis goes wrong as a test wants."""
    await until_ready(http, far_worker_server)
    return Deliveries(http, far_worker_server.url, raw)
