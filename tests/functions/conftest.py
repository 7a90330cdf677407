"""The two functions among real servers, everything emptied before each test that uses them."""

from __future__ import annotations

import httpx2
import pytest
import redis.asyncio
from rubydraw.message import JobMessage

from tests.functions.deliveries import Deliveries
from tests.functions.sketch_service import SketchService
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
