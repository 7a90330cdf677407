"""Pub/Sub takes a job and does not say so, or brings it too often, or its sender goes away: one job, one call."""

from __future__ import annotations

import asyncio

import httpx2
import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.jobs.message import JobMessage

from tests import servers
from tests.functions.deliveries import ACKNOWLEDGED, Deliveries
from tests.functions.sketch_service import SketchService
from tests.servers import POLL_S, WAIT_S, Server
from tests.stand_ins import GeminiStandIn, PubsubStandIn


async def only_job(raw: redis.asyncio.Redis) -> str:
    """The request id of the one job that there is."""
    async with asyncio.timeout(WAIT_S):
        while not (found := await raw.keys(keys.status("*"))):
            await asyncio.sleep(POLL_S)
    [key] = found
    assert isinstance(key, bytes)
    return key.decode().partition("{")[2].rstrip("}")


async def told(service: SketchService, request_id: str) -> tuple[str, str]:
    state = await service.status(request_id)
    return state["status"], state["updatedAt"]


async def test_job_that_was_refused_is_not_done_when_it_arrives_all_the_same(
    service: SketchService,
    deliveries: Deliveries,
    pubsub_stand_in: PubsubStandIn,
    gemini_stand_in: GeminiStandIn,
    raw: redis.asyncio.Redis,
) -> None:
    """Every answer of the publish was lost: its sender was told no, so the message finds the job settled."""
    await pubsub_stand_in.fail("lose_answer", times=1000)
    payload = await service.improve(later=True)
    assert (None, "UNAVAILABLE") == (payload["requestId"], payload["problem"]["code"])
    refused = await told(service, await only_job(raw))
    assert "error" == refused[0]
    [(data, attributes), *_] = await pubsub_stand_in.pulled()
    message = JobMessage.read(data, attributes, max_png_bytes=4096)
    await pubsub_stand_in.no_faults()
    assert ACKNOWLEDGED == await deliveries.push(message)
    assert refused == await told(service, message.request_id)
    assert 0 == await gemini_stand_in.calls()
    assert [] == await pubsub_stand_in.dead_letters()


async def test_repeat_that_cannot_be_handed_over_ends_no_job_that_was(
    service: SketchService, deliveries: Deliveries, pubsub_stand_in: PubsubStandIn
) -> None:
    """The key's job is queued; its sender asks again, is refused, and has a drawing all the same."""
    request_id = await service.submit(idempotencyKey="a-key")
    await pubsub_stand_in.fail("refuse_publish", times=1000)
    repeat = await service.improve(later=True, idempotencyKey="a-key")
    assert (None, "MISCONFIGURED") == (repeat["requestId"], repeat["problem"]["code"])
    await pubsub_stand_in.no_faults()
    [(data, attributes)] = await pubsub_stand_in.pulled()
    assert ACKNOWLEDGED == await deliveries.push(JobMessage.read(data, attributes, max_png_bytes=4096))
    assert "done" == (await service.status(request_id))["status"]


async def test_repeat_that_was_handed_over_is_not_ended_by_the_first(
    service: SketchService,
    deliveries: Deliveries,
    pubsub_stand_in: PubsubStandIn,
    environment: dict[str, str],
    http: httpx2.AsyncClient,
    raw: redis.asyncio.Redis,
) -> None:
    """Whose publish is refused at last: both have the same job, and it is done."""
    over = asyncio.Event()

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as broker:
        address = f"http://127.0.0.1:{broker.sockets[0].getsockname()[1]}"
        cut_off = environment | {"PUBSUB_URL": address, "PUBLISH_TIMEOUT_S": "30"}
        with servers.running_function("graphql", cut_off) as server:
            asking = SketchService(http, server.url).improve(later=True, idempotencyKey="a-key")
            first = asyncio.create_task(asking)
            request_id = await only_job(raw)
            assert request_id == await service.submit(idempotencyKey="a-key")
            over.set()
            assert request_id == (await first)["requestId"]
    [(data, attributes)] = await pubsub_stand_in.pulled()
    assert ACKNOWLEDGED == await deliveries.push(JobMessage.read(data, attributes, max_png_bytes=4096))
    assert "done" == (await service.status(request_id))["status"]


async def test_job_that_a_worker_has_is_accepted_though_its_publish_failed(
    service: SketchService, pubsub_stand_in: PubsubStandIn, worker_server: Server, gemini_stand_in: GeminiStandIn
) -> None:
    """Every answer of the publish was lost, but not the message: its sender gets the request id."""
    await pubsub_stand_in.push_to(worker_server.url)
    await pubsub_stand_in.fail("lose_answer", times=1000)
    request_id = await service.submit()
    assert "done" == (await service.settled(request_id))["status"]
    await pubsub_stand_in.until_pushed()
    assert 1 == await gemini_stand_in.calls()


async def test_message_that_was_published_twice_is_done_once(
    service: SketchService,
    pubsub_stand_in: PubsubStandIn,
    worker_server: Server,
    gemini_stand_in: GeminiStandIn,
    raw: redis.asyncio.Redis,
) -> None:
    """Two message ids, and both pushed twice at once: one request id, one record, one attempt, one call."""
    await pubsub_stand_in.push_to(worker_server.url)
    await pubsub_stand_in.fail("lose_answer")
    await pubsub_stand_in.fail("duplicate", times=2)
    done = await service.settled(await service.submit())
    await pubsub_stand_in.until_pushed()
    assert ("done", 1, done["requestId"]) == (done["status"], done["attempt"], await only_job(raw))
    assert 2 == len(await pubsub_stand_in.pulled())
    assert 1 == await gemini_stand_in.calls()


async def test_sender_who_goes_away_does_not_end_the_job(
    service: SketchService,
    pubsub_stand_in: PubsubStandIn,
    worker_server: Server,
    gemini_stand_in: GeminiStandIn,
    raw: redis.asyncio.Redis,
) -> None:
    """It was published, so it is done; who sends the sketch again has a hit."""
    await pubsub_stand_in.push_to(worker_server.url)
    await pubsub_stand_in.fail("deliver_first")
    await gemini_stand_in.fail("hold")
    sender = asyncio.create_task(service.submit())
    await gemini_stand_in.until_waiting(1)
    sender.cancel()
    await gemini_stand_in.release()
    assert "done" == (await service.settled(await only_job(raw)))["status"]
    again = await service.status(await service.submit())
    assert ("done", 0, "HIT") == (again["status"], again["attempt"], again["result"]["provenance"]["cache"])
    assert 1 == await gemini_stand_in.calls()


@pytest.mark.chaos
async def test_delivery_that_outlives_its_ack_deadline_makes_no_second_call(
    service: SketchService, pubsub_stand_in: PubsubStandIn, worker_server: Server, gemini_stand_in: GeminiStandIn
) -> None:
    """It is pushed again while the first push still runs: the job is done once, and both are acknowledged."""
    await pubsub_stand_in.push_to(worker_server.url, ackDeadlineSeconds=1)
    await gemini_stand_in.fail("slow", seconds=2)
    done = await service.settled(await service.submit())
    await pubsub_stand_in.until_pushed()
    assert ("done", 1, 1) == (done["status"], done["attempt"], await gemini_stand_in.calls())
    assert any(done["requestId"] in line and '"busy"' in line for line in worker_server.lines)
