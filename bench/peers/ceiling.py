"""The ceiling: what the same server can do when the handler does nothing but read Redis, or nothing at all."""

from __future__ import annotations

import functools
import hashlib
import os

import httpx2
import orjson
import redis.asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

topic = os.environ["PUBSUB_URL"] + "/v1/projects/bench/topics/jobs:publish"


@functools.cache
def store() -> redis.asyncio.Redis:
    return redis.asyncio.Redis.from_url(os.environ["REDIS_URL"])


@functools.cache
def http() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(trust_env=False)


async def kept(request: Request) -> Response:
    """Read the body, then a ready answer from Redis."""
    await request.body()
    return Response(await store().get(request.query_params["key"]), media_type="application/json")


async def parsed(request: Request) -> Response:
    """The same, with what no service can leave out: parsing the body and hashing it."""
    orjson.loads(body := await request.body())
    hashlib.sha256(body).digest()
    return Response(await store().get(request.query_params["key"]), media_type="application/json")


async def nothing(request: Request) -> Response:
    await request.body()
    return Response(b'{"data":{"__typename":"Query"}}', media_type="application/json")


async def published(request: Request) -> Response:
    """One call of the publish endpoint and one round trip to Redis."""
    body = await request.body()
    await http().post(topic, content=body, headers={"content-type": "application/json"})
    await store().set("published", "1")
    return Response(b'{"data":{"requestId":"1"}}', media_type="application/json")


HANDLERS = {f"/{handler.__name__}": handler for handler in (kept, parsed, nothing, published)}
app = Starlette(routes=[Route(path, handler, methods=["POST"]) for path, handler in HANDLERS.items()])
