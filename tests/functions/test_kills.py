"""Instances that die, stand still or are stopped at a known step: what they did ends, for one call more at most."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import httpx2
import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.jobs.message import JobMessage

from tests.functions.conftest import until_ready
from tests.functions.deliveries import ACKNOWLEDGED, Deliveries, copies
from tests.functions.sketch_service import SketchService, shown
from tests.functions.test_lost_publishes import only_job
from tests.processes import alive
from tests.redis_proxy import RedisProxy
from tests.servers import POLL_S, Server, running_function
from tests.sketches import now_ms
from tests.stand_ins import GeminiStandIn, PubsubStandIn

pytestmark = pytest.mark.chaos

LEASE_S = 1.2
PLATFORM_KILLS_AFTER_S = 10.0


async def killed(server: Server, doing: asyncio.Task[Any], http: httpx2.AsyncClient) -> None:
    """Kill the instance that is doing this, and wait for the next one."""
    instance = server.signal_instance(signal.SIGKILL)
    with pytest.raises(httpx2.TransportError):
        await doing
    while alive({instance}):
        await asyncio.sleep(POLL_S)
    await until_ready(http, server)


def begun(doing: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.create_task(doing)


# a worker


@pytest.mark.parametrize(
    ("kind", "at", "attempt", "outcome", "calls"),
    [
        ("hold_answer", "claim", "2", "MISS", 1),
        ("hold", "store_drawing", "2", "MISS", 2),
        ("hold", "complete", "2", "HIT", 1),
        ("hold_answer", "complete", "1", "MISS", 1),
    ],
    ids=["claimed, nothing asked", "drawn, not kept", "kept, not done", "done, not acknowledged"],
)
async def test_worker_killed_at_a_step_costs_one_call_more_at_most(
    far_deliveries: Deliveries,
    far_worker_server: Server,
    http: httpx2.AsyncClient,
    message: JobMessage,
    redis_proxy: RedisProxy,
    gemini_stand_in: GeminiStandIn,
    kind: str,
    at: str,
    attempt: str,
    outcome: str,
    calls: int,
) -> None:
    """The redelivery waits for the dead one's lease, and ends the job from where it stands."""
    redis_proxy.fail(kind, at, times=1000)
    pushed = begun(far_deliveries.push(message))
    await redis_proxy.until_waiting()
    await killed(far_worker_server, pushed, http)
    redis_proxy.clear()
    assert ACKNOWLEDGED == await far_deliveries.push(message)
    assert ("done", attempt, outcome) == await far_deliveries.state(message, "status", "attempt", "outcome")
    assert calls == await gemini_stand_in.calls()


async def test_job_that_kills_its_workers_is_given_up_after_three_calls(
    far_deliveries: Deliveries,
    far_worker_server: Server,
    http: httpx2.AsyncClient,
    message: JobMessage,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
) -> None:
    """Each is killed in mid-call; the fourth delivery calls nobody, and the message goes to the dead letters."""
    await gemini_stand_in.fail("hold", times=3)
    for _ in range(3):
        pushed = begun(far_deliveries.push(message))
        await gemini_stand_in.until_waiting(1)
        await killed(far_worker_server, pushed, http)
        await gemini_stand_in.until_waiting(0)
    assert ACKNOWLEDGED == await far_deliveries.push(message)
    assert ("error", "3") == await far_deliveries.state(message, "status", "attempt")
    assert (3, [("UNAVAILABLE", message.request_id)]) == (await gemini_stand_in.calls(), await copies(pubsub_stand_in))


async def test_worker_paused_beyond_its_lease_changes_nothing_afterwards(
    deliveries: Deliveries,
    far_deliveries: Deliveries,
    far_worker_server: Server,
    message: JobMessage,
    gemini_stand_in: GeminiStandIn,
) -> None:
    """Another takes its job over and is done; what the first one then brings is neither announced nor counted."""
    await gemini_stand_in.fail("hold")
    first = begun(far_deliveries.push(message))
    await gemini_stand_in.until_waiting(1)
    far_worker_server.signal_instance(signal.SIGSTOP)
    try:
        assert ACKNOWLEDGED == await deliveries.push(message)
        settled = await deliveries.state(message, "status", "attempt", "updated_at", "version", "token")
    finally:
        far_worker_server.signal_instance(signal.SIGCONT)
    await gemini_stand_in.release()
    assert ACKNOWLEDGED == await first
    assert settled == await deliveries.state(message, "status", "attempt", "updated_at", "version", "token")
    assert ("done", "2", 2) == (*settled[:2], await gemini_stand_in.calls())


async def test_call_that_ends_within_the_grace_ends_its_job(
    environment: dict[str, str],
    http: httpx2.AsyncClient,
    raw: redis.asyncio.Redis,
    message: JobMessage,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
) -> None:
    """A worker that is stopped in mid-call finishes it, and is gone before the platform kills it."""
    with running_function("worker", environment) as server:
        deliveries = Deliveries(http, server.url, raw)
        await gemini_stand_in.fail("hold")
        pushed = begun(deliveries.push(message))
        await gemini_stand_in.until_waiting(1)
        server.process.terminate()
        async with asyncio.timeout(PLATFORM_KILLS_AFTER_S):
            while not any("instance.stopping" in line for line in server.lines):
                await asyncio.sleep(POLL_S)
            await gemini_stand_in.release()
            assert ACKNOWLEDGED == await pushed
            while server.process.poll() is None:
                await asyncio.sleep(POLL_S)
    assert ("done", "1") == await deliveries.state(message, "status", "attempt")
    assert 1 == await gemini_stand_in.calls()


# a request


@pytest.mark.parametrize("step", ["in mid-call", "drawn, not kept"])
async def test_killed_endpoint_leaves_nothing_that_lasts(
    far_service: SketchService,
    far_graphql_server: Server,
    http: httpx2.AsyncClient,
    redis_proxy: RedisProxy,
    gemini_stand_in: GeminiStandIn,
    raw: redis.asyncio.Redis,
    step: str,
) -> None:
    """Its flight lapses with its lease; who asks again has a drawing, for a second call."""
    if step == "in mid-call":
        await gemini_stand_in.fail("hold")
        asked = begun(far_service.improve())
        await gemini_stand_in.until_waiting(1)
    else:
        redis_proxy.fail("hold", "store_drawing", times=1000)
        asked = begun(far_service.improve())
        await redis_proxy.until_waiting()
    assert 0 < max([await raw.pttl(key) for key in await raw.keys(keys.flight("*"))]) <= LEASE_S * 1000
    await killed(far_graphql_server, asked, http)
    redis_proxy.clear()
    assert [] == (await far_service.improve())["errors"]
    assert ("HIT", []) == (shown(await far_service.improve())[0], await raw.keys(keys.flight("*")))
    assert 2 == await gemini_stand_in.calls()


async def test_job_recorded_and_not_handed_over_ages_out(
    service: SketchService,
    far_service: SketchService,
    far_graphql_server: Server,
    http: httpx2.AsyncClient,
    redis_proxy: RedisProxy,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
    raw: redis.asyncio.Redis,
) -> None:
    """The endpoint is killed between the two: nobody knows the request id, nobody is called, and the job ends."""
    redis_proxy.fail("hold_answer", "accept", times=1000)
    submitted = begun(far_service.submit())
    await redis_proxy.until_waiting()
    await killed(far_graphql_server, submitted, http)
    redis_proxy.clear()
    assert [] == await pubsub_stand_in.pulled()
    request_id = await only_job(raw)
    assert "queued" == (await service.status(request_id))["status"]
    await raw.hset(keys.status(request_id), "created_at", now_ms() - 3601 * 1000)
    ended = await service.status(request_id)
    assert ("error", "EXPIRED", 0) == (ended["status"], ended["problem"]["code"], await gemini_stand_in.calls())


async def test_job_handed_over_and_not_answered_is_done(
    service: SketchService,
    far_service: SketchService,
    far_graphql_server: Server,
    worker_server: Server,
    http: httpx2.AsyncClient,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
    raw: redis.asyncio.Redis,
) -> None:
    """The endpoint is killed before it can answer; its sender sends the sketch again, and that is a hit."""
    await pubsub_stand_in.push_to(worker_server.url)
    await pubsub_stand_in.fail("deliver_first")
    await gemini_stand_in.fail("hold")
    submitted = begun(far_service.submit())
    await gemini_stand_in.until_waiting(1)
    await killed(far_graphql_server, submitted, http)
    await gemini_stand_in.release()
    assert "done" == (await service.settled(await only_job(raw)))["status"]
    assert "HIT" == shown(await service.status(await service.submit()))[0]
    assert 1 == await gemini_stand_in.calls()
