"""The GraphQL function as the platform runs it, in the background: what is handed over, and once for each key."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx2
import orjson
import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.jobs.message import JobMessage

from tests.functions.sketch_service import SketchService, shown
from tests.servers import Server, running_function
from tests.sketches import now_ms
from tests.stand_ins import GeminiStandIn, PubsubStandIn

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def test_job_is_queued_and_handed_over(service: SketchService, pubsub_stand_in: PubsubStandIn) -> None:
    """The message holds all that a worker needs."""
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    request_id = await service.submit(svg="<svg/>", hints="a hat", variant=2, headers={"traceparent": traceparent})
    [(data, attributes)] = await pubsub_stand_in.pulled()
    message = JobMessage.read(data, attributes, max_png_bytes=1024 * 1024)
    assert (request_id, 0, traceparent) == (message.request_id, message.generation, message.traceparent)
    assert abs(now_ms() - message.created_at_ms) < 10_000
    assert ("<svg/>", "a hat", 2) == (message.sketch.svg, message.sketch.hints, message.sketch.variant)
    status = await service.status(request_id)
    assert ("queued", 0, 3, None, None, None, None) == tuple(
        status[name] for name in ("status", "attempt", "maxAttempts", "result", "error", "problem", "retryAt")
    )
    assert TIME.fullmatch(status["createdAt"])
    assert status["createdAt"] == status["updatedAt"] < status["expiresAt"]


async def test_job_is_done_by_the_worker(
    service: SketchService, pubsub_stand_in: PubsubStandIn, worker_server: Server, gemini_stand_in: GeminiStandIn
) -> None:
    """Its result is what a sync request would have had, and what the next one has."""
    await pubsub_stand_in.push_to(worker_server.url)
    request_id = await service.submit()
    done = await service.settled(request_id)
    assert ("done", 1, None, None) == (done["status"], done["attempt"], done["error"], done["problem"])
    assert done["createdAt"] <= done["updatedAt"]
    assert "MISS" == shown(done)[0]
    assert ("HIT", shown(done)[1]) == shown(await service.improve())
    assert 1 == await gemini_stand_in.calls()


async def test_worker_may_be_faster_than_the_answer(
    service: SketchService, pubsub_stand_in: PubsubStandIn, worker_server: Server
) -> None:
    """The job is done before its publish is answered, and stays done."""
    await pubsub_stand_in.push_to(worker_server.url)
    await pubsub_stand_in.fail("deliver_first")
    assert "done" == (await service.status(await service.submit()))["status"]


async def test_job_for_a_cached_sketch_is_done_at_once(
    service: SketchService, gemini_stand_in: GeminiStandIn, pubsub_stand_in: PubsubStandIn
) -> None:
    """Nothing is handed over, and nothing called."""
    _, image = shown(await service.improve())
    done = await service.status(await service.submit())
    assert ("done", 0, ("HIT", image)) == (done["status"], done["attempt"], shown(done))
    assert ([], 1) == (await pubsub_stand_in.pulled(), await gemini_stand_in.calls())


@pytest.mark.parametrize("prefer", ["respond-async", "handling=lenient, Respond-Async", "respond-async; wait=10"])
async def test_prefer_header_asks_for_async(service: SketchService, prefer: str) -> None:
    """As RFC 7240 says, also beside other preferences and an explicit default."""
    payload = await service.improve(headers={"Prefer": prefer}, later=False)
    assert (None, True) == (payload["result"], bool(payload["requestId"]))


@pytest.mark.parametrize(("status", "code", "retryable"), [(403, "MISCONFIGURED", False), (503, "UNAVAILABLE", True)])
async def test_job_that_cannot_be_handed_over_is_refused(
    service: SketchService,
    pubsub_stand_in: PubsubStandIn,
    raw: redis.asyncio.Redis,
    status: int,
    code: str,
    retryable: bool,
) -> None:
    """No request id, and nothing is left waiting."""
    await pubsub_stand_in.fail("refuse_publish", status=status, times=1000)
    payload = await service.improve(later=True)
    assert (None, code, retryable) == (
        payload["requestId"], payload["problem"]["code"], payload["problem"]["retryable"],
    )  # fmt: skip
    [key] = await raw.keys(keys.status("*"))
    assert [b"error", code.encode()] == await raw.hmget(key, ["status", "code"])


@pytest.mark.parametrize(("ceiling", "of"), [("DAILY_CALLS", "all"), ("PRINCIPAL_DAILY_CALLS", "caller")])
async def test_job_that_is_refused_for_the_budget_is_logged(
    environment: dict[str, str],
    http: httpx2.AsyncClient,
    raw: redis.asyncio.Redis,
    pubsub_stand_in: PubsubStandIn,
    ceiling: str,
    of: str,
) -> None:
    """As a synchronous request is: the alert on the budget must not wait for one of those."""
    with running_function("graphql", environment | {ceiling: "0"}) as server:
        payload = await SketchService(http, server.url).improve(later=True)
        told = [orjson.loads(line) for line in server.lines if '"budget.exceeded"' in line]
    assert ("BUDGET_EXCEEDED", []) == (payload["problem"]["code"], await pubsub_stand_in.pulled())
    assert [("WARNING", of, 12)] == [(line["severity"], line["of"], len(line["digest"])) for line in told]


async def test_repeated_key_is_the_same_request(service: SketchService, pubsub_stand_in: PubsubStandIn) -> None:
    """While it is queued its message is sent again, which harms nothing."""
    ids = [await service.submit(idempotencyKey="a-key") for _ in range(2)]
    assert 1 == len(set(ids))
    assert ids == [attributes["request_id"] for _, attributes in await pubsub_stand_in.pulled()]


async def test_header_and_field_are_the_same_key(service: SketchService) -> None:
    """The field goes first where both are there."""
    by_field = await service.submit(idempotencyKey="a-key")
    assert by_field == await service.submit(headers={"Idempotency-Key": "a-key"})
    assert by_field == await service.submit(idempotencyKey="a-key", headers={"Idempotency-Key": "another"})
    assert by_field != await service.submit(headers={"Idempotency-Key": "another"})


async def test_ten_requests_at_once_with_one_key_are_exactly_one(service: SketchService) -> None:
    """All are told the same request id."""
    ids = await asyncio.gather(*(service.submit(idempotencyKey="a-key") for _ in range(10)))
    assert 1 == len(set(ids))


@pytest.mark.parametrize("cache", ["USE", "ONLY"])
async def test_key_of_a_job_that_was_done_at_once_ends_with_it(
    service: SketchService, raw: redis.asyncio.Redis, cache: str
) -> None:
    """A hit costs its caller little, so a day of keys would fill Redis; that of a queued job is kept for a day."""
    await service.submit(1, idempotencyKey="queued")
    [queued] = await raw.keys("improve_sketch:idempotency:*")
    assert keys.SETTLED_JOB_MS < await raw.pttl(queued)
    await service.improve(2)
    done = await service.submit(2, cache=cache, idempotencyKey="done")
    [hit] = set(await raw.keys("improve_sketch:idempotency:*")) - {queued}
    left_ms = await raw.pttl(hit)
    assert await raw.pttl(keys.status(done)) <= left_ms <= keys.SETTLED_JOB_MS
    assert done == await service.submit(2, cache=cache, idempotencyKey="done")


async def test_key_with_another_sketch_is_a_conflict(service: SketchService, pubsub_stand_in: PubsubStandIn) -> None:
    """Nothing is handed over for it."""
    await service.submit(1, idempotencyKey="a-key")
    payload = await service.improve(2, idempotencyKey="a-key", later=True)
    assert (None, "IDEMPOTENCY_CONFLICT", False) == (
        payload["requestId"], payload["problem"]["code"], payload["problem"]["retryable"],
    )  # fmt: skip
    assert 1 == len(await pubsub_stand_in.pulled())


@pytest.mark.parametrize(
    ("stands", "same_id", "messages"),
    [
        ({"status": "done"}, False, 2),
        ({"status": "running", "lease_until_ms": 2**52}, True, 1),
        ({"status": "error", "code": "CONTENT_REFUSED"}, True, 1),
        ({"status": "error", "code": "PROVIDER_FAILED"}, False, 2),
        ({}, True, 2),
    ],
    ids=["done, and its drawing is gone", "running", "failed for good", "failed and retryable", "vanished"],
)
async def test_repeated_key_looks_at_what_became_of_the_request(
    service: SketchService,
    pubsub_stand_in: PubsubStandIn,
    raw: redis.asyncio.Redis,
    stands: dict[Any, Any],
    same_id: bool,
    messages: int,
) -> None:
    """Only what failed and may succeed now, has lost its drawing, or was forgotten, is submitted anew."""
    first = await service.submit(idempotencyKey="a-key")
    if stands:
        await raw.hset(keys.status(first), mapping=stands)
    else:
        await raw.delete(keys.status(first))
    assert same_id == (first == await service.submit(idempotencyKey="a-key"))
    assert messages == len(await pubsub_stand_in.pulled())


async def test_repeated_key_of_a_kept_drawing_is_the_same_request(
    service: SketchService, pubsub_stand_in: PubsubStandIn
) -> None:
    """It is done, and nothing is handed over."""
    await service.improve()
    assert 1 == len({await service.submit(idempotencyKey="a-key") for _ in range(2)})
    assert [] == await pubsub_stand_in.pulled()
