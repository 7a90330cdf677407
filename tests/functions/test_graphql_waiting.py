"""An async request that waits a while for its result: how long, on whose word, and what it is told."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import redis.asyncio
from rubydraw import keys

from tests import servers
from tests.functions.deliveries import Deliveries
from tests.functions.sketch_service import IMPROVE, SketchService
from tests.servers import POLL_S, WAIT_S, Server
from tests.sketches import png
from tests.stand_ins import GeminiStandIn, PubsubStandIn

SHORT_S = 5.0
"""More than an answer takes that waits for nothing, on a slow machine; less than what is asked for here."""


async def timed(service: SketchService, **asked: Any) -> tuple[dict[str, Any], float]:
    began = time.monotonic()
    return await service.improve(**asked), time.monotonic() - began


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"later": True, "waitSeconds": -1}, "waitSeconds is -1; allowed are 0 to 60."),
        ({"later": True, "waitSeconds": 61}, "waitSeconds is 61; allowed are 0 to 60."),
        ({"waitSeconds": 5}, "waitSeconds is for async requests: send async: true with it, or leave it out."),
    ],
)
async def test_a_wait_that_makes_no_sense_is_one_sentence_and_begins_nothing(
    service: SketchService, pubsub_stand_in: PubsubStandIn, gemini_stand_in: GeminiStandIn, given: Any, sentence: str
) -> None:
    """Refused like any bad input."""
    payload = await service.improve(**given)
    assert ("BAD_INPUT", [sentence], None) == (payload["problem"]["code"], payload["errors"], payload["requestId"])
    assert (0, []) == (await gemini_stand_in.calls(), await pubsub_stand_in.pulled())


@pytest.mark.parametrize(
    ("given", "headers"),
    [
        ({"waitSeconds": 30}, {}),
        ({}, {"prefer": "wait=30"}),
        ({}, {"prefer": "respond-async, WAIT = 30"}),
        ({}, {"prefer": 'wait="30"'}),
        ({}, {"prefer": "wait=100000"}),  # a preference may be met in part
        ({"waitSeconds": 30}, {"prefer": "wait=0"}),
    ],
)
async def test_whoever_asks_to_wait_is_answered_with_the_result(
    service: SketchService, worker_server: Server, pubsub_stand_in: PubsubStandIn, given: Any, headers: dict[str, str]
) -> None:
    """By field or by header, with the request id beside it."""
    await pubsub_stand_in.push_to(worker_server.url)
    payload = await service.improve(later=True, headers=headers, **given)
    assert ([], "image/png") == (payload["errors"], payload["result"]["mimeType"])
    status = await service.status(payload["requestId"])
    assert (payload["result"], None, None) == (status["result"], status["etaMs"], status["pollAfterMs"])


async def test_a_header_alone_can_ask_for_both(
    service: SketchService, worker_server: Server, pubsub_stand_in: PubsubStandIn
) -> None:
    """RFC 7240's own example: in the background unless it is done within that time."""
    await pubsub_stand_in.push_to(worker_server.url)
    payload = await service.improve(headers={"prefer": "respond-async, wait=30"})
    assert (True, "MISS") == (bool(payload["requestId"]), payload["result"]["provenance"]["cache"])


async def test_time_that_is_up_leaves_the_request_id(service: SketchService) -> None:
    """Nobody works on this job."""
    payload, took_s = await timed(service, later=True, waitSeconds=1)
    assert (True, None, []) == (bool(payload["requestId"]), payload["result"], payload["errors"])
    assert 1 <= took_s < SHORT_S
    assert "queued" == (await service.status(payload["requestId"]))["status"]


@pytest.mark.parametrize(
    ("given", "headers"),
    [
        ({"waitSeconds": 0}, {"prefer": "wait=30"}),
        ({"waitSeconds": None}, {}),
        ({}, {"prefer": "wait=-5, wait=x, wait=, wait"}),
    ],
)
async def test_without_a_word_nobody_waits(service: SketchService, given: Any, headers: dict[str, str]) -> None:
    """The field beats the header, and a header that cannot be read is no wish."""
    payload, took_s = await timed(service, later=True, headers=headers, **given)
    assert (True, None) == (bool(payload["requestId"]), payload["result"])
    assert took_s < SHORT_S


async def test_a_synchronous_request_is_not_changed_by_the_header(service: SketchService) -> None:
    """It waits for its result anyhow."""
    payload = await service.improve(headers={"prefer": "wait=1"})
    assert (None, "MISS") == (payload["requestId"], payload["result"]["provenance"]["cache"])


async def test_a_cached_sketch_is_answered_at_once(service: SketchService) -> None:
    """There is nothing to wait for."""
    await service.improve()
    payload, took_s = await timed(service, later=True, waitSeconds=30)
    assert ("HIT", True) == (payload["result"]["provenance"]["cache"], took_s < SHORT_S)


async def test_a_drawing_that_is_gone_is_told_whatever_is_asked_for(
    service: SketchService, raw: redis.asyncio.Redis
) -> None:
    """The job is done while it is waited for, but its drawing is not there; nothing but the sentence is selected."""
    lean = "mutation($input: ImproveSketchInput!) { improveSketch(input: $input) { errors } }"
    given = {"pngBase64": base64.b64encode(png()).decode(), "async": True, "waitSeconds": 60}
    waiting = asyncio.create_task(service.post(lean, {"input": given}))
    async with asyncio.timeout(WAIT_S):
        while not (channels := await raw.pubsub_channels()):
            await asyncio.sleep(POLL_S)
        [job] = await raw.keys(keys.status("*"))
        await raw.hset(job, "status", "done")
        await raw.publish(channels[0], "done")
        answer = await waiting
    assert 1 == len(answer["data"]["improveSketch"]["errors"])


async def test_who_waits_holds_no_room_for_its_body(
    service: SketchService, environment: dict[str, str], http: httpx2.AsyncClient, raw: redis.asyncio.Redis
) -> None:
    """Nothing is left of it, so that the next large one is taken."""
    png_base64 = base64.b64encode(png()).decode() + " " * 2_000_000
    with servers.running_function("graphql", environment | {"MAX_IN_FLIGHT": "2"}) as server:
        small = SketchService(http, server.url)
        waiting = asyncio.create_task(small.improve(later=True, pngBase64=png_base64, waitSeconds=60))
        async with asyncio.timeout(WAIT_S):
            while not (channels := await raw.pubsub_channels()):
                await asyncio.sleep(POLL_S)
        payload = await small.improve(later=True, pngBase64=png_base64)
        assert ([], True) == (payload["errors"], bool(payload["requestId"]))
        assert isinstance(channels[0], bytes)
        [job] = await raw.keys(keys.status(channels[0].decode().removeprefix("improve_sketch:")))
        await raw.hset(job, mapping={"status": "error", "code": "CANCELED"})
        await raw.publish(channels[0], "error")
        assert "CANCELED" == (await waiting)["problem"]["code"]


async def test_a_call_holds_room_for_its_sketch_alone(
    environment: dict[str, str], http: httpx2.AsyncClient, gemini_stand_in: GeminiStandIn
) -> None:
    """Not for white space around it, nor for the rest of its body: one caller could take all the room with that."""
    png_base64 = base64.b64encode(png()).decode() + " " * 2_000_000
    await gemini_stand_in.fail("hold")
    with servers.running_function("graphql", environment | {"MAX_IN_FLIGHT": "2"}) as server:
        small = SketchService(http, server.url)
        waiting = asyncio.create_task(small.improve(pngBase64=png_base64))
        await gemini_stand_in.until_waiting(1)
        payload = await small.improve(later=True, pngBase64=png_base64, variant=1)
        assert ([], True) == (payload["errors"], bool(payload["requestId"]))
        await gemini_stand_in.release()
        assert [] == (await waiting)["errors"]


async def test_who_leaves_while_it_waits_keeps_no_place(service: SketchService, raw: redis.asyncio.Redis) -> None:
    """A thousand of them would shut everybody else out for a minute."""
    given = {"pngBase64": base64.b64encode(png()).decode(), "async": True, "waitSeconds": 60}
    body = json.dumps({"query": IMPROVE, "variables": {"input": given}}).encode()
    head = f"POST /graphql HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    address = urlsplit(service.url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(head.encode() + body)
    async with asyncio.timeout(WAIT_S):
        while not await raw.pubsub_channels():
            await asyncio.sleep(POLL_S)
        writer.close()
        while await raw.pubsub_channels():
            await asyncio.sleep(POLL_S)


async def test_a_failed_job_says_when_to_come_again(
    service: SketchService,
    deliveries: Deliveries,
    worker_server: Server,
    pubsub_stand_in: PubsubStandIn,
    gemini_stand_in: GeminiStandIn,
) -> None:
    """Once its sketch is asked about again: until then a job ends at once, whoever sends it and however he looks."""
    await gemini_stand_in.fail("status", status=500, times=3)
    for wait_s in (5, 5, 60):
        await deliveries.forget_failures()
        problem = (await service.improve())["problem"]
        assert ("PROVIDER_FAILED", wait_s) == (problem["code"], problem["retryAfterSeconds"])
    await pubsub_stand_in.push_to(worker_server.url)
    payload = await service.improve(later=True, waitSeconds=30)
    status = await service.status(payload["requestId"])
    assert ("error", None) == (status["status"], status["retryAt"])
    for problem in (payload["problem"], status["problem"]):
        assert "PROVIDER_FAILED" == problem["code"]
        assert 0 < problem["retryAfterSeconds"] < 60
    assert 3 == await gemini_stand_in.calls()
