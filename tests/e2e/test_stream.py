"""Live status from the outside: who is told what, over two instances, whatever becomes of Redis or an instance."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.e2e.conftest import Laptop
from tests.e2e.redis_server import RedisServer
from tests.e2e.sketch_client import SketchClient
from tests.e2e.sse_client import EventReader, stream_of
from tests.e2e.test_stopping import PLATFORM_KILLS_AFTER_S, ended, terminate

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


async def test_a_lost_notice_is_made_up_for(client: SketchClient, redis: RedisServer) -> None:
    """The connection is cut again and again while the job ends."""
    request_id = await running_job(client)
    async with stream_of(client.endpoints[0], request_id) as events:
        assert ["running"] == await events.until("running")
        told = asyncio.create_task(events.until("complete"))
        await client.release()
        while (await client.status(request_id))["status"] != "done":
            redis.command("CLIENT", "KILL", "TYPE", "pubsub")
        written = time.monotonic()
        assert ["done", "complete"] == await told
        assert events.heard[-1][2] - written < LOOK_S


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
        assert time.monotonic() - began < 2
    async with stream_of(client.endpoints[1], request_id) as events:
        assert ["running"] == await events.until("running")
        assert await ended(pids) < PLATFORM_KILLS_AFTER_S
        await client.release()
        assert ["done", "complete"] == await events.until("complete")


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
    async with stream_of(client.endpoints[0], await client.submit(variant=1)) as events:
        await events.until("complete")
        assert events.heard[0][1]["data"]["improveSketchStatus"]["pollAfterMs"] >= 500
        last = events.heard[-2][1]["data"]["improveSketchStatus"]
        assert (None, None) == (last["etaMs"], last["pollAfterMs"])
