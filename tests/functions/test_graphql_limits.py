"""Limits and budget at the functions as the platform runs them: two instances, one Redis, one bill."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.jobs import updates

from tests import servers
from tests.e2e.sse_client import stream_of
from tests.functions.deliveries import ACKNOWLEDGED, Deliveries
from tests.functions.sketch_service import IMPROVE, STATUS, SketchService
from tests.servers import Server
from tests.sketches import job, png
from tests.stand_ins import DEAD_LETTER_TOPIC, GeminiStandIn, PubsubStandIn

REQUESTS, CALLS, JOBS = 8, 8, 3
LIMITS = {
    "ACCESS": "off",
    "DAILY_CALLS": str(CALLS),
    "PRINCIPAL_DAILY_CALLS": "5",
    "REQUESTS_PER_MINUTE": str(REQUESTS),
    "CONCURRENT_JOBS": str(JOBS),
}
UNKNOWN = "0b8f3a52-6c1d-4e7f-9a3b-5d2c1e4f6a7b"
FOLLOW = f'subscription {{ improveSketchStatus(requestId: "{UNKNOWN}") {{ status }} }}'


@pytest.fixture(scope="module")
def one(environment: dict[str, str]) -> Iterator[Server]:
    yield from servers.a_function("graphql", environment | LIMITS)


@pytest.fixture(scope="module")
def other(environment: dict[str, str]) -> Iterator[Server]:
    yield from servers.a_function("graphql", environment | LIMITS)


@pytest.fixture(scope="module")
def limited_worker(environment: dict[str, str]) -> Iterator[Server]:
    yield from servers.a_function("worker", environment | LIMITS)


@pytest.fixture
def services(
    one: Server,
    other: Server,
    http: httpx2.AsyncClient,
    raw: redis.asyncio.Redis,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
) -> list[SketchService]:
    return [SketchService(http, each.url) for each in (one, other)]


def of(client: str) -> dict[str, str]:
    """The header with which Google's front end says who called; what stands before it is the caller's invention."""
    return {"x-forwarded-for": f"198.51.100.7, {client}"}


async def asked(service: SketchService, client: str, shade: int = 0, **input: Any) -> tuple[dict[str, Any], Any]:
    """Send a sketch; return payload and headers."""
    given = {"input": {"pngBase64": base64.b64encode(png(shade)).decode(), **input}}
    async with httpx2.AsyncClient(trust_env=False, timeout=servers.WAIT_S) as http:
        answer = await http.post(
            f"{service.url}/graphql", json={"query": IMPROVE, "variables": given}, headers=of(client)
        )
    return answer.json()["data"]["improveSketch"], answer.headers


async def test_hits_are_served_and_misses_refused_when_the_budget_is_used_up(
    services: list[SketchService], gemini_stand_in: GeminiStandIn, raw: redis.asyncio.Redis
) -> None:
    """Over two instances no more calls than the ceiling, until it is another day."""
    misses = [services[n % 2].improve(n, headers=of(f"192.0.2.{n}")) for n in range(20)]
    payloads = await asyncio.gather(*misses)
    drawn = [n for n, payload in enumerate(payloads) if payload["result"]]
    assert (CALLS, CALLS) == (len(drawn), await gemini_stand_in.calls())
    refused = next(payload for payload in payloads if not payload["result"])
    assert ("BUDGET_EXCEEDED", True) == (refused["problem"]["code"], refused["problem"]["retryable"])
    seconds, _ = await raw.time()
    assert pytest.approx(86_400 - seconds % 86_400, abs=20) == refused["problem"]["retryAfterSeconds"]
    for service in services:
        again = await service.improve(drawn[0], headers=of("192.0.2.99"))
        assert "HIT" == again["result"]["provenance"]["cache"]
        later = await service.improve(77, later=True, headers=of("192.0.2.99"))
        assert ("BUDGET_EXCEEDED", None) == (later["problem"]["code"], later["requestId"])
        assert not await raw.exists(keys.unsettled("address:192.0.2.99"))
    await raw.hincrby(keys.BUDGET, "day", -1)
    assert (await services[0].improve(77, headers=of("192.0.2.99")))["result"]


async def test_an_enqueue_takes_few_round_trips(services: list[SketchService], raw: redis.asyncio.Redis) -> None:
    """What is kept, what may refuse it and its record are one; before it an idempotency key is looked up."""
    await services[0].submit(0, headers=of("192.0.2.2"), idempotencyKey="a")
    asks: list[tuple[dict[str, Any], int]] = [({}, 1), ({"idempotencyKey": "b"}, 2), ({"cache": "REFRESH"}, 1)]
    for shade, (about, round_trips) in enumerate(asks, 1):
        before = (await raw.info("stats"))["total_reads_processed"]
        await services[0].submit(shade, headers=of("192.0.2.1"), **about)
        this_question = 1
        assert round_trips == (await raw.info("stats"))["total_reads_processed"] - before - this_question
    assert b"30" == await raw.hget(keys.quota("address:192.0.2.1"), "used")


async def test_what_one_caller_may_not_spend_another_may(
    services: list[SketchService], gemini_stand_in: GeminiStandIn
) -> None:
    """A follower takes over from a leader whose own budget is used up; the leader's refusal is not its answer."""
    for shade in range(5):
        assert (await services[0].improve(shade, headers=of("192.0.2.1")))["result"]
    poor = [service.improve(50, headers=of("192.0.2.1")) for service in services]
    rich = [service.improve(50, headers=of("192.0.2.2")) for service in services]
    payloads = await asyncio.gather(*poor, *rich)
    codes = [payload["problem"] and payload["problem"]["code"] for payload in payloads]
    assert [None, None] == codes[2:]
    assert {"BUDGET_EXCEEDED", None} >= set(codes[:2])
    assert 6 == await gemini_stand_in.calls()


async def test_a_repeated_key_is_answered_when_the_budget_is_used_up(services: list[SketchService]) -> None:
    """What the job had to pass was asked when it was accepted; whoever lost that answer repeats the key to have it."""
    client = of("192.0.2.5")
    first = await services[0].submit(60, headers=client, idempotencyKey="a")
    drawn = await asyncio.gather(*(services[0].improve(n, headers=of(f"192.0.2.{10 + n}")) for n in range(CALLS)))
    assert all(payload["result"] for payload in drawn)
    refused = await services[1].improve(61, later=True, headers=client, idempotencyKey="b")
    assert "BUDGET_EXCEEDED" == refused["problem"]["code"]
    assert first == await services[1].submit(60, headers=client, idempotencyKey="a")


async def test_no_more_requests_than_the_limit_pass_over_two_instances(
    services: list[SketchService], http: httpx2.AsyncClient
) -> None:
    """A cached answer counts as a tenth of a request; what is refused says when to come again."""
    assert (await services[0].improve(headers=of("192.0.2.3")))["result"]  # a whole one
    answers = await asyncio.gather(*(asked(services[n % 2], "192.0.2.3") for n in range(REQUESTS * 10 + 10)))
    assert (REQUESTS - 1) * 10 == sum(bool(payload["result"]) for payload, _ in answers)
    payload, headers = next((payload, headers) for payload, headers in answers if not payload["result"])
    assert ("RATE_LIMITED", True) == (payload["problem"]["code"], payload["problem"]["retryable"])
    assert 0 < payload["problem"]["retryAfterSeconds"] <= 61
    assert 0 < int(headers["retry-after"]) <= 61
    assert f'"requests";q={REQUESTS};w=60' == headers["ratelimit-policy"]
    assert headers["ratelimit"].startswith('"requests";r=0;t=')
    for picture in (base64.b64encode(png()).decode(), "no picture"):  # the second is not even decoded
        refused = await services[0].improve(headers=of("192.0.2.3"), pngBase64=picture)
        assert "RATE_LIMITED" == refused["problem"]["code"]
    assert (await services[0].improve(headers=of("192.0.2.4")))["result"]
    for client, told in (("192.0.2.3", "RATE_LIMITED"), ("192.0.2.4", "not_found")):
        headers = {"accept": "text/event-stream", **of(client)}
        assert told in (await http.post(services[0].url, json={"query": FOLLOW}, headers=headers)).text
    status = await services[0].post(STATUS, {"id": UNKNOWN}, of("192.0.2.3"))
    assert "not_found" == status["data"]["improveSketchStatus"]["status"]  # a poll counts nothing


async def test_what_begins_nothing_counts_as_a_tenth(services: list[SketchService], raw: redis.asyncio.Redis) -> None:
    """`cache: ONLY` where nothing is kept, and the key of a job that is there."""
    client = of("192.0.2.7")
    first = await services[0].submit(1, headers=client, idempotencyKey="a")
    assert b"10" == await raw.hget(keys.quota("address:192.0.2.7"), "used")
    assert first == await services[1].submit(1, headers=client, idempotencyKey="a")
    for later in (False, True):
        payload = await services[0].improve(2, later=later, headers=client, cache="ONLY")
        assert "RESULT_EXPIRED" == payload["problem"]["code"]
    assert b"13" == await raw.hget(keys.quota("address:192.0.2.7"), "used")


async def test_nobody_takes_all_places_by_streams_or_by_waiting(services: list[SketchService]) -> None:
    """One more of the same caller is told so, or told no result; anybody else is let in."""
    service, job = services[0], await services[0].submit(1, headers=of("192.0.2.7"))
    async with AsyncExitStack() as streams:
        for _ in range(updates.MAX_VIEWERS_OF_ONE):
            events = await streams.enter_async_context(stream_of(service.url, job, client="192.0.2.8"))
            assert "queued" == await events.status()
        refused = await streams.enter_async_context(stream_of(service.url, job, client="192.0.2.8"))
        name, told = await refused.next() or ("", {})
        assert ("next", "RATE_LIMITED") == (name, told["errors"][0]["extensions"]["code"])
        assert 0 < told["errors"][0]["extensions"]["retryAfterSeconds"]
        async with asyncio.timeout(servers.WAIT_S):  # less than it asks for
            payload = await service.improve(2, later=True, waitSeconds=60, headers=of("192.0.2.8"))
        assert (True, None, []) == (bool(payload["requestId"]), payload["result"], payload["errors"])
        other = await streams.enter_async_context(stream_of(service.url, job, client="192.0.2.9"))
        assert "queued" == await other.status()


async def test_an_answer_says_how_its_caller_stands(services: list[SketchService]) -> None:
    """In whole requests; one caller's are not another's."""
    _, headers = await asked(services[0], "2001:db8::1")
    assert f'"requests";r={REQUESTS - 1};t=' == headers["ratelimit"][: len('"requests";r=7;t=')]
    assert "retry-after" not in headers
    _, headers = await asked(services[1], "2001:db8::2")  # of the same network: the same caller
    assert headers["ratelimit"].startswith(f'"requests";r={REQUESTS - 2};t=')


async def test_no_more_jobs_than_the_limit_are_unsettled(
    services: list[SketchService], raw: redis.asyncio.Redis
) -> None:
    """A settled one makes room, though nobody has said so."""
    ids = [await services[n % 2].submit(n, headers=of("192.0.2.5")) for n in range(JOBS)]
    full = await services[0].improve(9, later=True, headers=of("192.0.2.5"))
    assert ("RATE_LIMITED", None) == (full["problem"]["code"], full["requestId"])
    await raw.hset(keys.status(ids[0]), "status", "error")
    assert await services[0].submit(9, headers=of("192.0.2.5"))


async def test_a_job_that_a_repeat_cannot_publish_keeps_no_place(
    services: list[SketchService], raw: redis.asyncio.Redis, pubsub_stand_in: PubsubStandIn
) -> None:
    """The first request with the key was refused and recorded nothing: whoever records the job ends it, too."""
    client = of("192.0.2.8")
    ids = [await services[0].submit(n, headers=client) for n in range(JOBS)]
    full = await services[0].improve(9, later=True, idempotencyKey="a", headers=client)
    assert "RATE_LIMITED" == full["problem"]["code"]
    await raw.hset(keys.status(ids[0]), "status", "error")
    await pubsub_stand_in.fail("refuse_publish", times=1000)
    refused = await services[0].improve(9, later=True, idempotencyKey="a", headers=client)
    assert ("MISCONFIGURED", None) == (refused["problem"]["code"], refused["requestId"])
    await pubsub_stand_in.no_faults()
    assert await services[0].submit(9, headers=client)


async def test_a_job_over_the_budget_ends_at_once(
    services: list[SketchService],
    limited_worker: Server,
    http: httpx2.AsyncClient,
    raw: redis.asyncio.Redis,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
) -> None:
    """Acknowledged, no dead letter, no call; its sender is told when to come again."""
    request_id = await services[0].submit(1, headers=of("192.0.2.6"))
    ((_, attributes),) = await pubsub_stand_in.pulled()
    assert "address:192.0.2.6" == attributes["account"]
    seconds, _ = await raw.time()
    await raw.hset(keys.BUDGET, mapping={"day": seconds // 86_400, "calls": CALLS, "microdollars": 0})
    deliveries = Deliveries(http, limited_worker.url, raw)
    assert ACKNOWLEDGED == await deliveries.push(job(request_id, owner=""))
    status = await services[0].status(request_id)
    assert ("error", "BUDGET_EXCEEDED", 1) == (status["status"], status["problem"]["code"], status["attempt"])
    assert None is status["retryAt"]
    opens_s = 86_400 - seconds % 86_400
    assert opens_s - 60 < status["problem"]["retryAfterSeconds"] <= opens_s
    assert (0, []) == (await gemini_stand_in.calls(), await pubsub_stand_in.pulled(DEAD_LETTER_TOPIC))
