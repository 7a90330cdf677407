"""Live status from the outside: who is told what, over two instances, whatever becomes of Redis or an instance."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

import pytest
from rubydraw.drawings.results import Results
from rubydraw.jobs.transitions import Jobs
from rubydraw.redis.store import connect

from tests.e2e.conftest import Laptop
from tests.e2e.redis_server import RedisServer
from tests.e2e.sketch_client import SketchClient
from tests.e2e.sse_client import EventReader, stream_of
from tests.e2e.test_stopping import PLATFORM_KILLS_AFTER_S, ended, terminate
from tests.sketches import HOUR_MS, drawing, job, png

MANY = 1000
PAGE_BYTES = resource.getpagesize()
LOOK_S = 5.0
"""How long a lost notice may go unnoticed."""


@pytest.fixture
async def streams() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def running_jobs(client: SketchClient, count: int) -> list[str]:
    """Jobs whose calls Gemini holds back."""
    await client.faults({"kind": "hold", "times": count})
    jobs = [await client.submit(variant=variant) for variant in range(count)]
    await client.waiting(count)
    return jobs


async def running_job(client: SketchClient) -> str:
    (job,) = await running_jobs(client, 1)
    return job


def viewers(redis: RedisServer) -> int:
    """How many channels all instances together hear of."""
    listed = redis.command("CLIENT", "LIST", "TYPE", "pubsub").decode()
    return sum(int(line.split(" sub=")[1].split()[0]) for line in listed.splitlines() if " sub=" in line)


async def until_viewers(redis: RedisServer, count: int) -> None:
    end_s = time.monotonic() + 10
    while viewers(redis) != count:
        assert time.monotonic() < end_s, viewers(redis)
        await asyncio.sleep(0.02)


def late_s(events: EventReader) -> float:
    """How long after it was written the last state was heard."""
    _, data, heard_at_s = [each for each in events.heard if each[0] == "next"][-1]
    written = datetime.fromisoformat(data["data"]["improveSketchStatus"]["updatedAt"])
    return float(heard_at_s - written.timestamp())


async def test_a_job_is_told_live_and_to_the_late(client: SketchClient) -> None:
    """Each state as it comes, `done` and the end; a late subscriber gets the last one, an unknown id its own."""
    await client.faults({"kind": "hold"})
    request_id = await client.submit()
    async with stream_of(client.endpoints[0], request_id) as events:
        assert await events.until("running") in (["queued", "running"], ["running"])
        await client.waiting(1)
        await client.release()
        assert ["done", "complete", "end"] == await events.until("end")
        assert "Redrawn sketch" == events.heard[-2][1]["data"]["improveSketchStatus"]["result"]["title"]
    for late, status in ((request_id, "done"), (str(uuid.uuid4()), "not_found"), ("*", "not_found")):
        async with stream_of(client.endpoints[1], late) as events:
            assert [status, "complete", "end"] == await events.until("end")


async def test_ten_viewers_of_a_job_are_told_and_those_of_another_are_not(
    client: SketchClient, streams: AsyncExitStack
) -> None:
    """Half of them at each instance."""
    first, second = await running_jobs(client, 2)
    ten = [await streams.enter_async_context(stream_of(client.endpoints[n % 2], first)) for n in range(10)]
    other = await streams.enter_async_context(stream_of(client.endpoints[0], second))
    assert [["running"]] * 11 == [await each.until("running") for each in (*ten, other)]
    third = await streams.enter_async_context(stream_of(client.endpoints[0], await client.submit(variant=3)))
    assert "done" in await third.until("done")
    assert [1] * 11 == [len(each.heard) for each in (*ten, other)]
    await client.release()
    assert [["done", "complete"]] * 11 == [await each.until("complete") for each in (*ten, other)]


async def test_who_vanishes_leaves_nothing_subscribed(
    client: SketchClient, redis: RedisServer, streams: AsyncExitStack
) -> None:
    """At any moment; and one connection per instance carries all."""
    jobs = await running_jobs(client, 4)
    open_ones: list[EventReader] = []
    for number in range(40):
        context = stream_of(client.endpoints[number % 2], jobs[number % 4])
        open_ones.append(await streams.enter_async_context(context))
    await asyncio.gather(*(each.until("running") for each in open_ones))
    assert (4, 2) == (viewers(redis), redis.command("CLIENT", "LIST", "TYPE", "pubsub").count(b" sub="))
    for each in open_ones[1:]:
        each.leave()
    await until_viewers(redis, 1)
    open_ones[0].leave()
    await until_viewers(redis, 0)
    await client.release()


@pytest.mark.parametrize("job_count", [1, 40])
async def test_a_thousand_viewers_of_one_process_are_told_at_once(
    client: SketchClient, fleet: Laptop, redis: RedisServer, streams: AsyncExitStack, job_count: int
) -> None:
    """One connection hears for all of them, and each costs little memory."""
    endpoint = client.endpoints[0]
    jobs = await running_jobs(client, job_count)
    before_bytes = memory_bytes(fleet, endpoint)
    readers: list[EventReader] = []
    for start in range(0, MANY, 50):
        some = [stream_of(endpoint, jobs[n % job_count], client=f"192.0.2.{n % 50}") for n in range(start, start + 50)]
        readers += await asyncio.gather(*map(streams.enter_async_context, some))
    assert {"running"} == {await each.status() for each in readers}
    assert (job_count, 1) == (viewers(redis), redis.command("CLIENT", "LIST", "TYPE", "pubsub").count(b" sub="))
    per_viewer_bytes = (memory_bytes(fleet, endpoint) - before_bytes) / MANY
    reading = [asyncio.create_task(each.until("complete")) for each in readers]
    await client.release()
    assert [["done", "complete"]] * MANY == await asyncio.gather(*reading)
    latest_s = max(map(late_s, readers))
    print(f"{MANY} viewers of {job_count} jobs: {per_viewer_bytes / 1024:.0f} KiB each, told after {latest_s:.2f} s")
    assert per_viewer_bytes < 100 * 1024
    assert (
        latest_s < 4
    )  # sooner than anybody looks unasked, so it was the news that told them; on an idle machine within 0.2 to 0.7 s
    await until_viewers(redis, 0)


def memory_bytes(fleet: Laptop, endpoint: str) -> int:
    """The resident memory of the processes that serve an address."""
    pids = fleet.processes(f"--port {endpoint.rpartition(':')[2]}")
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES for pid in pids)


async def test_a_lost_notice_is_made_up_for(client: SketchClient, redis: RedisServer) -> None:
    """The connection is cut again and again while the job ends."""
    request_id = await running_job(client)
    async with stream_of(client.endpoints[0], request_id) as events:
        assert ["running"] == await events.until("running")
        told = asyncio.create_task(events.until("complete"))
        await client.release()
        while (await client.status(request_id))["status"] != "done":
            redis.command("CLIENT", "KILL", "TYPE", "pubsub")
        assert ["done", "complete"] == await told
        assert late_s(events) < LOOK_S + 1


async def test_a_redis_that_hangs_is_waited_for(client: SketchClient, redis: RedisServer) -> None:
    """Nothing false is told meanwhile, and afterwards what is true; a new viewer is told that it is unavailable."""
    request_id = await running_job(client)
    async with stream_of(client.endpoints[0], request_id) as events:
        assert ["running"] == await events.until("running")
        told = asyncio.create_task(events.until("complete"))
        redis.hang()
        async with stream_of(client.endpoints[1], request_id) as late:
            assert ["The service is temporarily unavailable; try again.", "complete"] == await late.until("complete")
            assert "UNAVAILABLE" == late.heard[0][1]["errors"][0]["extensions"]["code"]
        redis.resume()
        await client.release()
        assert ["done", "complete"] == await told


async def test_a_redis_that_has_forgotten_everything_knows_no_job(client: SketchClient, redis: RedisServer) -> None:
    """The stream says so and ends; the worker records the job again once it is done."""
    request_id = await running_job(client)
    async with stream_of(client.endpoints[0], request_id) as events:
        assert ["running"] == await events.until("running")
        redis.restart()
        assert ["not_found", "complete"] == await events.until("complete")
    await client.release()
    end_s = time.monotonic() + 20
    while (await client.status(request_id))["status"] != "done":
        assert time.monotonic() < end_s
        await asyncio.sleep(0.1)
    async with stream_of(client.endpoints[0], request_id) as events:
        assert ["done", "complete"] == await events.until("complete")


async def test_streams_end_without_completing_when_their_instance_is_stopped(
    client: SketchClient, fleet: Laptop
) -> None:
    """At once, so that nobody waits for them; who comes again is told the state, and the end by another instance."""
    request_id = await running_job(client)
    async with stream_of(client.endpoints[0], request_id) as events:
        assert ["running"] == await events.until("running")
        pids = terminate(fleet, "graphql")
        began = time.monotonic()
        assert ["end"] == await events.until("complete")
        assert time.monotonic() - began < 5  # and not after the grace of 6 s
    async with stream_of(client.endpoints[1], request_id) as events:
        assert ["running"] == await events.until("running")
        assert await ended(pids) < PLATFORM_KILLS_AFTER_S
        await client.release()
        assert ["done", "complete"] == await events.until("complete")


@pytest.mark.parametrize("kind", ["subscription", "query"])
async def test_who_does_not_read_does_not_hold_an_instance_that_is_stopped(
    client: SketchClient, fleet: Laptop, redis: RedisServer, kind: str
) -> None:
    """A drawing of many megabytes is being sent to nobody; the instance is gone before the platform kills it."""
    request_id = await settled_with_a_large_drawing(redis)
    endpoint = client.endpoints[0]
    with socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.connect(("127.0.0.1", int(endpoint.rpartition(":")[2])))
        query = f'{kind} {{ improveSketchStatus(requestId: "{request_id}") {{ result {{ imageBase64 }} }} }}'
        body = json.dumps({"query": query}).encode()
        accept = "text/event-stream" if kind == "subscription" else "application/json"
        head = f"POST / HTTP/1.1\r\nhost: a\r\naccept: {accept}\r\ncontent-type: application/json\r\ncontent-length: "
        lazy.sendall(head.encode() + b"%d\r\n\r\n" % len(body) + body)
        await asyncio.to_thread(lazy.recv, 1)
        assert await ended(terminate(fleet, "graphql")) < PLATFORM_KILLS_AFTER_S


async def settled_with_a_large_drawing(redis: RedisServer) -> str:
    """A job as if its drawing of 12 MB had come just now."""
    store, message = connect(redis.url, ""), job()
    await Results(store).put(message.digest, drawing(image=png() + bytes(12_000_000)))
    jobs = Jobs(store, lease_ms=5000, heartbeat_ms=500, max_attempts=3, max_age_ms=HOUR_MS)
    await jobs.submit(message.request_id, "done", digest=message.digest, owner="", trace="")
    await store.close()
    return message.request_id


async def test_a_job_is_waited_for_as_long_as_asked(client: SketchClient) -> None:
    """`waitSeconds` answers with the result as soon as it is there, with the request id alone once time is up."""
    await client.faults({"kind": "hold"})
    began = time.monotonic()
    payload = await client.improve(variant=1, waitSeconds=1, **{"async": True})
    assert (None, [], True) == (payload["result"], payload["errors"], 1 <= time.monotonic() - began < 5)
    async with stream_of(client.endpoints[0], payload["requestId"]) as events:
        assert ["running"] == await events.until("running")
    await client.waiting(1)
    waiting = asyncio.create_task(client.improve(to=1, variant=1, waitSeconds=60, **{"async": True}))
    await client.release()
    payload = await waiting
    assert ("Redrawn sketch", True) == (payload["result"]["title"], bool(payload["requestId"]))
    again = await client.improve(variant=1, waitSeconds=60, **{"async": True})
    assert "HIT" == again["result"]["provenance"]["cache"]


async def test_a_job_that_fails_while_it_is_waited_for_is_a_problem_with_a_request_id(client: SketchClient) -> None:
    """The sentence is that of its status."""
    await client.faults({"kind": "refuse"})
    payload = await client.improve(variant=2, waitSeconds=30, **{"async": True})
    assert ("CONTENT_REFUSED", None) == (payload["problem"]["code"], payload["result"])
    state = await client.status(payload["requestId"])
    assert ("error", state["error"]) == (state["status"], payload["errors"][0])


async def test_a_status_says_when_to_ask_again_once_something_is_known(client: SketchClient) -> None:
    """Nothing before the first job was drawn; then what that one took."""
    async with stream_of(client.endpoints[0], await running_job(client)) as events:
        await events.until("running")
        first = events.heard[-1][1]["data"]["improveSketchStatus"]
        assert (None, None) == (first["etaMs"], first["pollAfterMs"])
        await client.release()
        await events.until("complete")
    await client.faults({"kind": "hold"})
    another = await client.submit(variant=1)
    await client.waiting(1)
    async with stream_of(client.endpoints[0], another) as events:
        await events.until("running")
        assert events.heard[0][1]["data"]["improveSketchStatus"]["pollAfterMs"] >= 500
        await client.release()
        await events.until("complete")
        last = events.heard[-2][1]["data"]["improveSketchStatus"]
        assert (None, None) == (last["etaMs"], last["pollAfterMs"])
