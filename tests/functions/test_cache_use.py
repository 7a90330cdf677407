"""Which drawing may answer: a kept one, a new one in its place, or a kept one alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx2
import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.jobs.message import JobMessage

from tests import servers
from tests.functions.deliveries import ACKNOWLEDGED, AGAIN, Deliveries
from tests.functions.sketch_service import SketchService, shown
from tests.sketches import now_ms
from tests.stand_ins import GeminiStandIn, PubsubStandIn


async def test_refresh_draws_anew_and_is_kept_in_place_of_the_old(
    service: SketchService, gemini_stand_in: GeminiStandIn
) -> None:
    """Each time it is asked for; afterwards the newest is everybody's hit."""
    caches, made = [], []
    for cache in (None, "REFRESH", "REFRESH", "USE", "ONLY"):
        payload = await service.improve(cache=cache)
        caches.append(shown(payload)[0])
        made.append(payload["result"]["provenance"]["createdAt"])
    assert ["MISS", "MISS", "MISS", "HIT", "HIT"] == caches
    assert made[0] < made[1] < made[2] == made[3] == made[4]
    assert 3 == await gemini_stand_in.calls()


async def test_refreshes_at_once_share_exactly_one_call(service: SketchService, gemini_stand_in: GeminiStandIn) -> None:
    """None of them is told the old drawing."""
    old = (await service.improve())["result"]["provenance"]["createdAt"]
    await gemini_stand_in.fail("hold")
    asked = [asyncio.create_task(service.improve(cache="REFRESH")) for _ in range(6)]
    await gemini_stand_in.until_waiting(1)
    assert "HIT" == shown(await service.improve())[0]
    await gemini_stand_in.release()
    payloads = await asyncio.gather(*asked)
    assert 2 == await gemini_stand_in.calls()
    assert {True} == {payload["result"]["provenance"]["createdAt"] > old for payload in payloads}
    assert 1 == [shown(payload)[0] for payload in payloads].count("MISS")


async def test_refreshes_on_two_instances_share_exactly_one_call(
    service: SketchService,
    environment: dict[str, str],
    http: httpx2.AsyncClient,
    gemini_stand_in: GeminiStandIn,
    raw: redis.asyncio.Redis,
) -> None:
    """Whoever waits for another instance is told what that one draws, and never the old drawing."""
    old = (await service.improve())["result"]["provenance"]["createdAt"]
    with servers.running_function("graphql", environment) as server:
        both = (service, SketchService(http, server.url))
        assert "HIT" == shown(await both[1].improve())[0]  # its first request is slow enough to come too late
        await gemini_stand_in.fail("hold")
        tried = await tries_of_a_flight(raw)
        asked = [asyncio.create_task(each.improve(cache="REFRESH")) for each in both]
        await gemini_stand_in.until_waiting(1)
        async with asyncio.timeout(servers.WAIT_S):
            while await tries_of_a_flight(raw) < tried + 2:  # the leader's, and one of who follows
                await asyncio.sleep(servers.POLL_S)
        await gemini_stand_in.release()
        payloads = await asyncio.gather(*asked)
    assert ["COALESCED", "MISS"] == sorted(shown(payload)[0] for payload in payloads)
    assert old not in {payload["result"]["provenance"]["createdAt"] for payload in payloads}
    assert 2 == await gemini_stand_in.calls()


async def tries_of_a_flight(raw: redis.asyncio.Redis) -> int:
    """How often somebody has tried to take a flight since Valkey was started."""
    return int((await raw.info("commandstats")).get("cmdstat_set", {"calls": 0})["calls"])


async def test_only_is_never_drawn(service: SketchService, gemini_stand_in: GeminiStandIn) -> None:
    """Directly or in the background; nothing is accepted, and one sentence says why."""
    for later in (False, True):
        payload = await service.improve(cache="ONLY", later=later)
        assert (None, None, "RESULT_EXPIRED") == (payload["result"], payload["requestId"], payload["problem"]["code"])
        assert ["No drawing of this sketch is kept; send it with cache: USE to have it drawn."] == payload["errors"]
    await service.improve()
    assert "HIT" == shown(await service.improve(cache="ONLY"))[0]
    assert "done" == (await service.status(await service.submit(cache="ONLY")))["status"]
    assert 1 == await gemini_stand_in.calls()


async def test_refresh_in_the_background_is_queued_though_a_drawing_is_kept(
    service: SketchService, pubsub_stand_in: PubsubStandIn
) -> None:
    """Its message says so, in a schema that workers of the revision before leave alone."""
    await service.improve()
    assert "queued" == (await service.status(await service.submit(cache="REFRESH")))["status"]
    ((data, attributes),) = await pubsub_stand_in.pulled()
    assert data.startswith(b'{"schema":2,')
    assert JobMessage.read(data, attributes, max_png_bytes=10_000).refresh


async def test_an_idempotency_key_stands_for_the_cache_too(service: SketchService) -> None:
    """The same key with another use of the cache is another input."""
    first = await service.submit(idempotencyKey="k", cache="REFRESH")
    assert first == await service.submit(idempotencyKey="k", cache="REFRESH")
    assert "IDEMPOTENCY_CONFLICT" == (await service.improve(idempotencyKey="k", later=True))["problem"]["code"]


async def test_a_job_that_refreshes_pays_once_however_often_it_is_delivered(
    deliveries: Deliveries, message: JobMessage, gemini_stand_in: GeminiStandIn, raw: redis.asyncio.Redis
) -> None:
    """A drawing that was finished after the job was accepted is the one it asked for, also when its record is lost."""
    await deliveries.push(message)
    refresh = replace(message, request_id="0b8f3a52-6c1d-4e7f-9a3b-5d2c1e4f6a7b", created_at_ms=now_ms(), refresh=True)
    for _ in range(2):
        assert ACKNOWLEDGED == await deliveries.push(refresh)
    assert ("done", "MISS") == await deliveries.state(refresh, "status", "outcome")
    await raw.delete(keys.status(refresh.request_id))
    assert ACKNOWLEDGED == await deliveries.push(refresh)
    assert ("done", "HIT") == await deliveries.state(refresh, "status", "outcome")
    assert 2 == await gemini_stand_in.calls()


async def test_a_job_that_refreshes_is_not_done_with_the_old_drawing_after_a_failure(
    deliveries: Deliveries, message: JobMessage, gemini_stand_in: GeminiStandIn
) -> None:
    """It is tried again until there is a new one."""
    await deliveries.push(message)
    refresh = replace(message, request_id="0b8f3a52-6c1d-4e7f-9a3b-5d2c1e4f6a7b", created_at_ms=now_ms(), refresh=True)
    await gemini_stand_in.fail("status", status=500)
    assert AGAIN == await deliveries.push(refresh)
    await deliveries.forget_failures()
    assert ACKNOWLEDGED == await deliveries.push(refresh, attempt=2)
    assert ("done", "MISS") == await deliveries.state(refresh, "status", "outcome")
    assert 3 == await gemini_stand_in.calls()


@pytest.mark.parametrize("cache", ["REFRESH", "ONLY"])
async def test_a_cache_use_that_is_none_is_told(service: SketchService, cache: str) -> None:
    """As any variable that does not fit its type."""
    query = 'mutation($c: CacheUse!) { improveSketch(input: {pngBase64: "", cache: $c}) { errors } }'
    told = await service.post(query, {"c": cache.lower()})
    sentence = "Variable '$c' has to be of type 'CacheUse!' (USE, REFRESH, ONLY), found a string."
    assert [sentence] == [each["message"] for each in told["errors"]]
