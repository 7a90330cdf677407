"""What many tests share: a real Valkey, the two stand-ins, the two functions, and an environment without secrets."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
import redis.asyncio
from rubydraw import logs

from tests import servers
from tests.contract.object_stores import S3, a_moto
from tests.servers import Server
from tests.stand_ins import DEAD_LETTER_TOPIC, TOPIC, GeminiStandIn, PubsubStandIn

# Only prefixes that no tool of the tests itself needs.
_FOREIGN = (
    *("GEMINI_", "GOOGLE_", "REDIS_", "CACHE_REDIS_", "PUBSUB_", "DEAD_LETTER_", "CLOUDSDK_", "GCLOUD_", "GCE_"),
    *("ACCESS", "API_KEYS", "JWT_", "ARCHIVE_", "AWS_", "IMAGE_SIGNING_", "PUBLIC_URL"),
)


@pytest.fixture(scope="session", autouse=True)
def _no_ambient_settings() -> Iterator[None]:
    """No key and no address of the shell's reaches a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(_FOREIGN)]:
            patch.delenv(name)
        yield


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    """Restore the logging of this process after a test that changes it."""
    root, ours = logging.getLogger(), {name: getattr(logs, name) for name in ("_out", "_least", "_project")}
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, value in ours.items():
        setattr(logs, name, value)


@pytest.fixture(scope="session")
def valkey() -> Iterator[Server]:
    yield from servers.a_valkey()


@pytest.fixture(scope="session")
def gemini_server() -> Iterator[Server]:
    yield from servers.a_stand_in("gemini")


@pytest.fixture(scope="session")
def pubsub_server() -> Iterator[Server]:
    yield from servers.a_stand_in("pubsub", "--min-backoff-s", "0.1")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    """Moto's S3 server, which checks signatures."""
    yield from a_moto()


@pytest.fixture
def redis_url(valkey: Server) -> str:
    return f"redis://127.0.0.1:{valkey.port}/0"


@pytest.fixture
async def raw(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A plain client of an empty Valkey."""
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        await client.flushall()
        await client.config_set("maxmemory", "256mb")
        await client.config_set("maxmemory-policy", "volatile-lru")
        yield client


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    limits = httpx2.Limits(keepalive_expiry=1)  # gunicorn closes idle connections after 2 s, also under a new request
    async with httpx2.AsyncClient(trust_env=False, verify=False, timeout=servers.WAIT_S, limits=limits) as client:
        yield client


@pytest.fixture
async def gemini_stand_in(gemini_server: Server, http: httpx2.AsyncClient) -> AsyncIterator[GeminiStandIn]:
    """The Gemini stand-in without faults or calls; calls that a test leaves waiting are released."""
    stand_in = GeminiStandIn(http, gemini_server.url)
    await stand_in.clear()
    yield stand_in
    await stand_in.release()


@pytest.fixture
async def pubsub_stand_in(pubsub_server: Server, http: httpx2.AsyncClient) -> PubsubStandIn:
    """The Pub/Sub stand-in with both topics, each with a subscription to pull from, and nothing in it."""
    stand_in = PubsubStandIn(http, pubsub_server.url)
    await stand_in.clear()
    return stand_in


@pytest.fixture(scope="session")
def environment(valkey: Server, gemini_server: Server, pubsub_server: Server) -> dict[str, str]:
    """The settings of a function among these servers, with short times."""
    return {
        "ACCESS": "off",
        "REDIS_URL": f"redis://127.0.0.1:{valkey.port}/0",
        "PUBSUB_URL": pubsub_server.url,
        "PUBSUB_TOPIC": TOPIC,
        "DEAD_LETTER_TOPIC": DEAD_LETTER_TOPIC,
        "PUBLISH_TIMEOUT_S": "5",
        "GEMINI_API_KEY": "a-throw-away-key",
        "GEMINI_BASE_URL": gemini_server.url,
        "GEMINI_TIMEOUT_S": "5",
        "SYNC_DEADLINE_S": "20",
        "WORK_DEADLINE_S": "20",
        "LEASE_MS": "1200",
        "HEARTBEAT_MS": "200",
        "DAILY_CALLS": "unlimited",
        "DAILY_DOLLARS": "unlimited",
        "PRINCIPAL_DAILY_CALLS": "unlimited",
        "PRINCIPAL_DAILY_DOLLARS": "unlimited",
        "REQUESTS_PER_MINUTE": "unlimited",
        "CONCURRENT_JOBS": "unlimited",
    }


@pytest.fixture(scope="session")
def graphql_server(environment: dict[str, str]) -> Iterator[Server]:
    yield from servers.a_function("graphql", environment)


@pytest.fixture(scope="session")
def worker_server(environment: dict[str, str]) -> Iterator[Server]:
    yield from servers.a_function("worker", environment)
