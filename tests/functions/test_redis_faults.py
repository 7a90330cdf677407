"""Redis goes wrong at one step: what is answered, what is kept, and what it costs."""

from __future__ import annotations

import asyncio
import uuid

import httpx2
import orjson
import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.jobs.message import JobMessage
from rubydraw.work import SAVE_PAUSES_S

from tests import servers
from tests.functions.deliveries import ACKNOWLEDGED, AGAIN, Deliveries
from tests.functions.sketch_service import SketchService, shown
from tests.redis_proxy import OOM, READONLY, RedisProxy
from tests.servers import Server, free_port
from tests.sketches import HOUR_MS, job, now_ms, sketch
from tests.stand_ins import GeminiStandIn, PubsubStandIn

TAKE, KEEP = "SET", "store_drawing"
"""What takes a flight, and what stores a drawing."""


# a synchronous request


@pytest.mark.parametrize("at", [TAKE, KEEP])
@pytest.mark.parametrize("kind", ["drop", "lose", "refuse", "delay"])
async def test_failover_at_a_step_costs_no_second_call(
    far_service: SketchService,
    far_graphql_server: Server,
    redis_proxy: RedisProxy,
    gemini_stand_in: GeminiStandIn,
    raw: redis.asyncio.Redis,
    kind: str,
    at: str,
) -> None:
    """The connection breaks, the answer is late, the primary has become a replica: one retry, and all is well."""
    redis_proxy.fail(kind, at, error=READONLY, seconds=0.7)
    told = len(far_graphql_server.lines)
    hints = str(uuid.uuid4())  # an instance may still hold an earlier drawing that Redis would not take
    assert [] == (await far_service.improve(hints=hints))["errors"]
    assert ([], 1) == (redis_proxy.left, len(await raw.keys(keys.result("*"))))
    assert not any("asked_without_redis" in line for line in far_graphql_server.lines[told:])
    assert "HIT" == shown(await far_service.improve(hints=hints))[0]
    assert 1 == await gemini_stand_in.calls()


async def test_full_redis_costs_an_instance_one_call(
    far_service: SketchService, redis_proxy: RedisProxy, gemini_stand_in: GeminiStandIn
) -> None:
    """Nobody can take the flight of a sketch: twenty who ask for it at once share the call of their process."""
    redis_proxy.fail("refuse", TAKE, times=1000)
    payloads = await asyncio.gather(*(far_service.improve(51) for _ in range(20)))
    assert [[]] * 20 == [payload["errors"] for payload in payloads]
    assert 1 == await gemini_stand_in.calls()


async def test_absent_redis_costs_an_instance_one_call(
    far_service: SketchService, redis_proxy: RedisProxy, gemini_stand_in: GeminiStandIn
) -> None:
    """Fifty who ask at once for one sketch take one from the allowance, not fifty."""
    redis_proxy.fail("drop", times=1000)
    payloads = await asyncio.gather(*(far_service.improve(50) for _ in range(50)))
    assert [[]] * 50 == [payload["errors"] for payload in payloads]
    assert 1 == await gemini_stand_in.calls()


async def test_absent_redis_is_no_way_past_a_ceiling_of_nothing(
    environment: dict[str, str], http: httpx2.AsyncClient, gemini_stand_in: GeminiStandIn
) -> None:
    """Nobody has to have seen the budget used up: no call is made, and the log says why."""
    stopped = environment | {"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0", "DAILY_CALLS": "0"}
    with servers.running_function("graphql", stopped) as server:
        problem = (await SketchService(http, server.url).improve())["problem"]
        told = [orjson.loads(line) for line in server.lines if '"budget.exceeded"' in line]
    assert ("BUDGET_EXCEEDED", 0) == (problem["code"], await gemini_stand_in.calls())
    assert problem["message"].startswith("The budget for new drawings is used up until midnight UTC")
    assert 0 < problem["retryAfterSeconds"] <= 24 * 60 * 60
    assert ["all"] == [line["of"] for line in told]


async def test_flushed_cache_is_filled_again(
    service: SketchService, gemini_stand_in: GeminiStandIn, raw: redis.asyncio.Redis
) -> None:
    """The same sketch costs one call more, and no third."""
    ways = []
    for _ in range(2):
        await raw.flushall()
        ways += [shown(await service.improve())[0] for _ in range(2)]
    assert ["MISS", "HIT"] * 2 == ways
    assert 2 == await gemini_stand_in.calls()


async def test_flight_lost_in_mid_call_costs_one_call_more(
    service: SketchService, far_service: SketchService, gemini_stand_in: GeminiStandIn, raw: redis.asyncio.Redis
) -> None:
    """Two instances ask, since neither could know of the other; neither lets go of the other's flight."""
    await gemini_stand_in.fail("slow", seconds=4)
    await gemini_stand_in.fail("hold")
    first = asyncio.create_task(service.improve())
    await gemini_stand_in.until_called(1)
    await raw.flushall()
    second = asyncio.create_task(far_service.improve())
    await gemini_stand_in.until_waiting(1)
    assert "MISS" == shown(await first)[0]
    assert 1 == len(await raw.keys(keys.flight("*")))
    await gemini_stand_in.release()
    assert "MISS" == shown(await second)[0]
    assert (1, []) == (len(await raw.keys(keys.result("*"))), await raw.keys(keys.flight("*")))
    assert 2 == await gemini_stand_in.calls()


# a submission


@pytest.mark.parametrize("kind", ["refuse", "drop", "swallow"])
async def test_job_that_cannot_be_recorded_is_not_accepted(
    far_service: SketchService,
    redis_proxy: RedisProxy,
    pubsub_stand_in: PubsubStandIn,
    raw: redis.asyncio.Redis,
    kind: str,
) -> None:
    """Nothing is handed over that nobody could follow."""
    redis_proxy.fail(kind, "accept", times=2)
    payload = await far_service.improve(later=True)
    assert (None, "UNAVAILABLE") == (payload["requestId"], payload["problem"]["code"])
    assert ([], []) == (await pubsub_stand_in.pulled(), await raw.keys(keys.status("*")))


async def test_job_that_may_have_been_recorded_is_not_accepted_and_ages_out(
    service: SketchService,
    far_service: SketchService,
    redis_proxy: RedisProxy,
    pubsub_stand_in: PubsubStandIn,
    raw: redis.asyncio.Redis,
) -> None:
    """Both answers are lost: nothing is handed over, and the record that nobody knows of ends as an error."""
    redis_proxy.fail("lose", "accept", times=2)
    payload = await far_service.improve(later=True)
    assert (None, "UNAVAILABLE") == (payload["requestId"], payload["problem"]["code"])
    assert [] == await pubsub_stand_in.pulled()
    [key] = await raw.keys(keys.status("*"))
    assert isinstance(key, bytes)
    await raw.hset(key, "created_at", now_ms() - 2 * HOUR_MS)
    ended = await service.status(key.decode().partition("{")[2].rstrip("}"))
    assert ("error", "EXPIRED") == (ended["status"], ended["problem"]["code"])


# a delivery


@pytest.fixture
def message() -> JobMessage:
    """A job for a sketch that no test before it has sent: a worker may still hold what Redis would not take."""
    return job(sketch=sketch(hints=str(uuid.uuid4())))


async def test_job_is_not_begun_without_a_lease(
    far_deliveries: Deliveries, message: JobMessage, redis_proxy: RedisProxy, gemini_stand_in: GeminiStandIn
) -> None:
    """Redis takes no writes: nothing is spent; the redelivery does it."""
    redis_proxy.fail("refuse", "claim")
    assert (AGAIN, 0) == (await far_deliveries.push(message), await gemini_stand_in.calls())
    assert ACKNOWLEDGED == await far_deliveries.push(message)
    assert ("done", "1") == await far_deliveries.state(message, "status", "attempt")


@pytest.mark.parametrize("at", ["claim", TAKE, KEEP, "complete"])
@pytest.mark.parametrize("kind", ["drop", "lose", "refuse", "delay"])
async def test_command_that_is_sent_again_counts_once(
    far_deliveries: Deliveries,
    message: JobMessage,
    redis_proxy: RedisProxy,
    gemini_stand_in: GeminiStandIn,
    kind: str,
    at: str,
) -> None:
    """Its connection breaks before or after it, its primary changes, its answer is late: one attempt, one call."""
    redis_proxy.fail(kind, at, error=READONLY, seconds=0.7)
    assert ACKNOWLEDGED == await far_deliveries.push(message)
    assert ("done", "MISS", "1") == await far_deliveries.state(message, "status", "outcome", "attempt")
    assert ([], 1) == (redis_proxy.left, await gemini_stand_in.calls())


@pytest.mark.parametrize(
    ("at", "seen"),
    [("claim", "done"), (TAKE, "done"), (KEEP, "done"), ("complete", "done")],
    ids=["before the claim", "before the flight", "before the drawing is kept", "between the drawing and `done`"],
)
async def test_flush_at_any_step_loses_no_job(
    service: SketchService,
    far_deliveries: Deliveries,
    redis_proxy: RedisProxy,
    gemini_stand_in: GeminiStandIn,
    at: str,
    seen: str,
) -> None:
    """It is settled whatever is gone; a drawing lost in the last moment is RESULT_EXPIRED, never `done` without it."""
    message = job(owner="")
    redis_proxy.fail("flush", at)
    assert ACKNOWLEDGED == await far_deliveries.push(message)
    state = await service.status(message.request_id)
    assert (seen, seen == "done") == (state["status"], state["result"] is not None)
    assert seen == "done" or ("RESULT_EXPIRED", True) == (state["problem"]["code"], state["problem"]["retryable"])
    assert ([], 1) == (redis_proxy.left, await gemini_stand_in.calls())


async def test_redis_that_forgets_at_once_costs_an_attempt_a_call(
    far_deliveries: Deliveries, message: JobMessage, redis_proxy: RedisProxy, gemini_stand_in: GeminiStandIn
) -> None:
    """Too small a one, say: the drawing is gone twice before its job is done, and is not drawn again and again."""
    redis_proxy.fail("flush", "complete", times=2)
    assert AGAIN == await far_deliveries.push(message)
    assert ([], 1) == (redis_proxy.left, await gemini_stand_in.calls())
    assert ACKNOWLEDGED == await far_deliveries.push(message)
    assert (("done", "MISS"), 2) == (
        await far_deliveries.state(message, "status", "outcome"),
        await gemini_stand_in.calls(),
    )


async def test_full_redis_at_the_end_is_tried_again_here(
    far_deliveries: Deliveries, message: JobMessage, redis_proxy: RedisProxy, gemini_stand_in: GeminiStandIn
) -> None:
    """What was paid for is worth some seconds: one call, one attempt."""
    redis_proxy.fail("refuse", "complete", error=OOM)
    assert ACKNOWLEDGED == await far_deliveries.push(message)
    assert ("done", "1") == await far_deliveries.state(message, "status", "attempt")
    assert 1 == await gemini_stand_in.calls()


@pytest.mark.chaos
async def test_full_redis_at_the_end_costs_no_second_call(
    far_deliveries: Deliveries, message: JobMessage, redis_proxy: RedisProxy, gemini_stand_in: GeminiStandIn
) -> None:
    """Full for longer than is tried here: the job is handed back, and its redelivery finds the drawing kept."""
    redis_proxy.fail("refuse", "complete", times=1 + len(SAVE_PAUSES_S))  # first with the drawing, then by itself
    assert AGAIN == await far_deliveries.push(message)
    assert ACKNOWLEDGED == await far_deliveries.push(message)
    assert ("done", "HIT", "2") == await far_deliveries.state(message, "status", "outcome", "attempt")
    assert 1 == await gemini_stand_in.calls()


@pytest.mark.parametrize(("kind", "times"), [("drop", 2), ("refuse", 1)])
async def test_refreshed_drawing_that_redis_did_not_take_is_not_forgotten(
    deliveries: Deliveries,
    far_deliveries: Deliveries,
    message: JobMessage,
    redis_proxy: RedisProxy,
    gemini_stand_in: GeminiStandIn,
    raw: redis.asyncio.Redis,
    kind: str,
    times: int,
) -> None:
    """It is stored before the job is done: an older one is in its place, and would pass for it."""
    assert ACKNOWLEDGED == await deliveries.push(message)
    refresh = job(sketch=message.sketch, created_at_ms=now_ms(), refresh=True)
    redis_proxy.fail(kind, KEEP, times=times)
    assert ACKNOWLEDGED == await far_deliveries.push(refresh)
    status, digest = await deliveries.state(refresh, "status", "digest")
    assert "done" == status
    assert int(await raw.hget(keys.result(digest or ""), "created_at_ms") or 0) >= refresh.created_at_ms
    assert ([], 2) == (redis_proxy.left, await gemini_stand_in.calls())


async def test_failover_that_loses_a_lease_costs_no_second_call(
    deliveries: Deliveries, far_deliveries: Deliveries, message: JobMessage, gemini_stand_in: GeminiStandIn
) -> None:
    """The new primary has the job still queued: another worker claims it, and follows the call that is under way."""
    await gemini_stand_in.fail("hold")
    first = asyncio.create_task(deliveries.push(message))
    await gemini_stand_in.until_waiting(1)
    await deliveries.rewrite(message, status="queued", attempt=0, token="", lease_until_ms=0)
    second = asyncio.create_task(far_deliveries.push(message))
    await deliveries.until(message, status="running")
    await gemini_stand_in.release()
    assert [ACKNOWLEDGED] * 2 == [await first, await second]
    assert ("done", "1") == await deliveries.state(message, "status", "attempt")
    assert 1 == await gemini_stand_in.calls()


async def test_failover_that_loses_the_end_of_a_job_leaves_it_an_end(
    service: SketchService, deliveries: Deliveries, gemini_stand_in: GeminiStandIn
) -> None:
    """Its message was acknowledged, so nobody will do it: an hour old it is an error; its drawing is still a hit."""
    message = job(owner="")
    assert ACKNOWLEDGED == await deliveries.push(message)
    await deliveries.rewrite(message, status="running", token="gone", lease_until_ms=1, created_at=1)
    ended = await service.status(message.request_id)
    assert ("error", "EXPIRED") == (ended["status"], ended["problem"]["code"])
    assert ("HIT", 1) == (shown(await service.improve())[0], await gemini_stand_in.calls())


async def test_worker_makes_no_call_that_cannot_be_counted(
    far_deliveries: Deliveries, message: JobMessage, redis_proxy: RedisProxy, gemini_stand_in: GeminiStandIn
) -> None:
    """Redis takes the lease and not the budget's reservation: a job can wait, and no allowance takes its place."""
    redis_proxy.fail("refuse", "reserve_call", times=100)
    assert (AGAIN, 0) == (await far_deliveries.push(message), await gemini_stand_in.calls())
    redis_proxy.clear()
    assert ACKNOWLEDGED == await far_deliveries.push(message)
    assert ("done", "1") == await far_deliveries.state(message, "status", "attempt")
