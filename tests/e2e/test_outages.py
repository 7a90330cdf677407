"""Redis away or hanging, Gemini overloaded: nothing hangs, nothing is lost, and no money is spent for nothing."""

import asyncio
import base64
import io
import math
import time
from typing import Any

import httpx2
import pytest
from PIL import Image

from tests.e2e.conftest import Laptop, StartLaptop
from tests.e2e.redis_server import RedisServer
from tests.e2e.sketch_client import SketchClient, client_of

REDIS_MAY_COST_S = 2.0
SLACK_S = 8
"""These machines are slow at times; what is tested is that nothing waits for a time-out of tens of seconds."""


async def timed(call: Any) -> tuple[Any, float]:
    began = time.monotonic()
    return await call, time.monotonic() - began


@pytest.mark.parametrize("outage", ["stop", "hang"])
async def test_without_redis_a_sketch_is_still_improved_and_everything_else_says_so_soon(
    start_laptop: StartLaptop, redis: RedisServer, outage: str
) -> None:
    """Sync is answered within 2 s of what Gemini took, submit and status say UNAVAILABLE within 2 s, nothing hangs."""
    laptop = start_laptop(REDIS_URL=redis.url, LOCAL_ALLOWANCE_PER_MINUTE="2")
    assert laptop.endpoint
    async with client_of(laptop.addresses) as client:
        request_id = await client.submit()
        await client.settled(request_id)
        await client.improve(variant=1)
        getattr(redis, outage)()

        payload, took_s = await timed(client.improve(variant=2))
        assert payload["errors"] == []
        assert took_s < 2 + REDIS_MAY_COST_S + SLACK_S

        payload, took_s = await timed(client.improve(variant=3, **{"async": True}))
        assert payload["problem"]["code"] == "UNAVAILABLE"
        assert payload["requestId"] is None
        assert took_s < REDIS_MAY_COST_S + SLACK_S

        answer, took_s = await timed(client.raw_status(request_id))
        assert answer["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
        assert answer["data"] is None
        assert took_s < REDIS_MAY_COST_S + SLACK_S

        await client.improve(variant=4)
        payload = await client.improve(variant=5)
        assert (payload["problem"]["code"], payload["problem"]["retryable"]) == ("UNAVAILABLE", True)
        assert payload["problem"]["retryAfterSeconds"] > 0


async def test_a_drawing_that_redis_would_not_take_is_kept_here_and_stored_when_it_is_back(
    client: SketchClient, redis: RedisServer
) -> None:
    """Redis is stopped while Gemini draws: the picture is answered, and a repeat costs nothing, before and after."""
    await client.faults({"kind": "hold"})
    asked = asyncio.create_task(client.improve())
    await client.waiting(1)
    redis.stop()
    await client.release()
    assert (await asked)["errors"] == []
    assert (await client.improve())["result"]["provenance"]["cache"] == "HIT"
    redis.start()
    await until_hit(client, redis)
    assert await client.calls() == 1


async def until_hit(client: SketchClient, redis: RedisServer) -> None:
    """Repeat the sketch until its drawing has been stored."""
    end_s = time.monotonic() + 10
    while b"improve_sketch:v1:" not in redis.command("KEYS", "improve_sketch:v1:*"):
        assert time.monotonic() < end_s
        assert (await client.improve())["result"]["provenance"]["cache"] == "HIT"
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(("setting", "refusal"), [("maxmemory", "1"), ("min-replicas-to-write", "1")])
async def test_a_redis_that_refuses_writes_still_serves_what_it_has(
    client: SketchClient, redis: RedisServer, setting: str, refusal: str
) -> None:
    """Out of memory, or without its replicas: hits are served, misses are drawn within the allowance."""
    await client.improve()
    redis.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    redis.command("CONFIG", "SET", setting, refusal)
    assert (await client.improve())["result"]["provenance"]["cache"] == "HIT"
    assert (await client.improve(variant=1))["errors"] == []
    assert (await client.improve(variant=2, **{"async": True}))["problem"]["code"] == "UNAVAILABLE"


async def test_a_flushed_redis_loses_no_job(client: SketchClient, redis: RedisServer) -> None:
    """Everything in Redis is gone while a worker draws; the job is done all the same, its record made again."""
    await client.faults({"kind": "hold"})
    request_id = await client.submit()
    await client.waiting(1)
    redis.command("FLUSHALL")
    assert (await client.status(request_id))["status"] == "not_found"
    await client.release()
    end_s = time.monotonic() + 20
    while (await client.status(request_id))["status"] != "done":
        assert time.monotonic() < end_s
        await asyncio.sleep(0.1)
    assert await client.calls() == 1


@pytest.mark.parametrize("status", [429, pytest.param(503, marks=pytest.mark.chaos)])
async def test_an_overloaded_gemini_is_left_alone_and_costs_no_job_an_attempt(
    client: SketchClient, status: int
) -> None:
    """During the cooldown nobody calls, hits are served, and the jobs wait and end well with their first attempt."""
    await client.improve(variant=9)
    await client.faults({"kind": "status", "status": status, "retry_after_s": 6, "times": 2})
    first = await client.improve()
    assert first["problem"]["code"] == "PROVIDER_OVERLOADED"
    assert first["problem"]["retryAfterSeconds"] > 0
    calls = await client.calls()
    jobs = [await client.submit(to=variant, variant=variant) for variant in (1, 2, 3, 4)]
    assert (await client.improve(variant=5))["problem"]["code"] == "PROVIDER_OVERLOADED"
    assert (await client.improve(variant=9))["result"]["provenance"]["cache"] == "HIT"
    assert await client.calls() == calls
    states = [await client.settled(request_id, within_s=60) for request_id in jobs]
    assert [(state["status"], state["attempt"]) for state in states] == [("done", 1)] * 4


async def test_a_refusal_is_remembered(client: SketchClient) -> None:
    """What Gemini refused once is refused again without asking it, in the background too."""
    await client.faults({"kind": "refuse"})
    for _ in range(2):
        assert (await client.improve())["problem"]["code"] == "CONTENT_REFUSED"
    state = await client.settled(await client.submit())
    assert (state["status"], state["problem"]) == ("error", {"code": "CONTENT_REFUSED", "retryable": False})
    assert await client.calls() == 1


async def test_more_than_an_instance_can_hold_is_refused_with_a_time_to_come_back(start_laptop: StartLaptop) -> None:
    """With two calls in flight and room for two, a third sketch is told when to try again; jobs wait their turn."""
    laptop = start_laptop(MAX_IN_FLIGHT="2")
    assert laptop.endpoint
    async with client_of(laptop.addresses) as client:
        await client.faults({"kind": "hold", "times": 2})
        held = [asyncio.create_task(client.improve(variant=variant)) for variant in (1, 2)]
        await client.waiting(2)
        refused = await client.improve(variant=3)
        assert refused["problem"]["code"] == "UNAVAILABLE"
        assert refused["problem"]["retryAfterSeconds"] > 0
        job = await client.submit(variant=4)
        await client.release()
        assert [payload["errors"] for payload in await asyncio.gather(*held)] == [[], []]
        assert (await client.settled(job))["status"] == "done"


def uncompressed(size_bytes: int) -> str:
    """Return a PNG of about that size, in base64, that is quickly redrawn: noise would take seconds."""
    side_px, file = math.isqrt(size_bytes // 3), io.BytesIO()
    Image.new("RGB", (side_px, side_px), "white").save(file, "PNG", compress_level=0)
    return base64.b64encode(file.getvalue()).decode()


async def test_a_body_for_which_there_is_no_room_is_refused_before_it_is_read(start_laptop: StartLaptop) -> None:
    """Two large sketches fill a small instance: a third is answered 503 and when to come back; what is small is not."""
    laptop = start_laptop(MAX_IN_FLIGHT="2")
    assert laptop.endpoint
    async with client_of(laptop.addresses) as client:
        await client.faults({"kind": "hold", "times": 2})
        large = uncompressed(1_000_000)
        held = [asyncio.create_task(client.improve(variant=variant, pngBase64=large)) for variant in (1, 2)]
        await client.waiting(2)
        with pytest.raises(httpx2.HTTPStatusError) as refused:
            await client.improve(variant=3, pngBase64=large)
        assert refused.value.response.status_code == 503
        assert int(refused.value.response.headers["retry-after"]) > 0
        assert refused.value.response.json()["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
        assert (await client.status("00000000-0000-4000-8000-000000000000"))["status"] == "not_found"
        async with httpx2.AsyncClient() as browser:  # which shows its page no answer, if it gets none to this
            preflight = await browser.options(laptop.endpoint, headers={"origin": "http://localhost:3000"})
            assert preflight.status_code == 204
        await client.release()
        assert [payload["errors"] for payload in await asyncio.gather(*held)] == [[], []]


async def test_a_job_is_never_done_without_its_drawing(fleet: Laptop, client: SketchClient, redis: RedisServer) -> None:
    """Redis goes away while a worker draws and comes back empty: what was drawn is stored before the job is done."""
    told = len(fleet.logs)
    await client.faults({"kind": "hold"})
    request_id = await client.submit()
    await client.waiting(1)
    redis.stop()
    await client.release()
    end_s = time.monotonic() + 30
    while not any("result.not_saved" in line for line in fleet.logs[told:]):
        assert time.monotonic() < end_s
        await asyncio.sleep(0.02)
    redis.start()
    while (state := await client.raw_status(request_id)).get("errors") or state["data"]["improveSketchStatus"][
        "status"
    ] in ("not_found", "queued", "running"):
        assert time.monotonic() < end_s
        await asyncio.sleep(0.05)
    assert state["data"]["improveSketchStatus"]["status"] == "done"
    assert state["data"]["improveSketchStatus"]["result"]["title"]
    assert await client.calls() <= 2
