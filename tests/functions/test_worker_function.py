"""The worker function as the platform runs it: each delivery's outcome, its status code and its dead letter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import orjson
import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.message import JobMessage
from rubydraw.sketch import Sketch

from tests import servers
from tests.functions.deliveries import CLOUD_EVENT, Deliveries, envelope
from tests.servers import Server, free_port
from tests.sketches import HOUR_MS, TRACEPARENT, hollow_png, job, now_ms, sketch
from tests.stand_ins import GeminiStandIn, PubsubStandIn

ACKNOWLEDGED, AGAIN = 204, 503


@pytest.fixture
def message() -> JobMessage:
    return job()


async def copies(pubsub_stand_in: PubsubStandIn) -> list[tuple[str, str]]:
    """Code and request id of each dead letter."""
    letters = await pubsub_stand_in.dead_letters()
    return [(attributes["code"], attributes.get("request_id", "")) for _, attributes in letters]


# done


@pytest.mark.parametrize("headers", [{}, CLOUD_EVENT], ids=["push", "CloudEvent"])
async def test_delivered_job_is_done(
    deliveries: Deliveries,
    message: JobMessage,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
    headers: dict[str, str],
) -> None:
    """In either form of the envelope, with one call; the drawing is kept before the job says so."""
    await deliveries.accepted(message)
    assert ACKNOWLEDGED == await deliveries.post(envelope(message.data(), message.attributes()), headers)
    assert ("done", "MISS", "1", "") == await deliveries.state(message, "status", "outcome", "attempt", "code")
    assert (1, []) == (await gemini_stand_in.calls(), await copies(pubsub_stand_in))


async def test_repeated_delivery_finds_the_job_done(
    deliveries: Deliveries, message: JobMessage, gemini_stand_in: GeminiStandIn
) -> None:
    """Acknowledged, nothing called, nothing changed."""
    assert ACKNOWLEDGED == await deliveries.push(message)
    before = await deliveries.state(message, "updated_at", "version", "attempt")
    assert [ACKNOWLEDGED] * 2 == [await deliveries.push(message, attempt=attempt) for attempt in (2, 3)]
    assert before == await deliveries.state(message, "updated_at", "version", "attempt")
    assert 1 == await gemini_stand_in.calls()


async def test_two_deliveries_at_once_make_exactly_one_call(
    deliveries: Deliveries, message: JobMessage, gemini_stand_in: GeminiStandIn
) -> None:
    """The second waits the lease out here, and finds the job done."""
    await gemini_stand_in.fail("hold")
    pushed = [asyncio.create_task(deliveries.push(message)) for _ in range(2)]
    await gemini_stand_in.until_waiting(1)
    await gemini_stand_in.release()
    assert [ACKNOWLEDGED] * 2 == await asyncio.gather(*pushed)
    assert ("done", "1") == await deliveries.state(message, "status", "attempt")
    assert 1 == await gemini_stand_in.calls()


async def test_two_jobs_with_one_sketch_make_exactly_one_call(
    deliveries: Deliveries, gemini_stand_in: GeminiStandIn
) -> None:
    """Each keeps its own record."""
    await gemini_stand_in.fail("hold")
    both = [job(), job()]
    pushed = [asyncio.create_task(deliveries.push(each)) for each in both]
    await gemini_stand_in.until_waiting(1)
    for each in both:
        await deliveries.until(each, status="running")
    await gemini_stand_in.release()
    assert [ACKNOWLEDGED] * 2 == await asyncio.gather(*pushed)
    assert {("done",)} == {await deliveries.state(each, "status") for each in both}
    assert 1 == await gemini_stand_in.calls()


async def test_lost_record_is_made_again_from_the_message(deliveries: Deliveries, message: JobMessage) -> None:
    """Redis was flushed: the message is the durable copy."""
    assert ACKNOWLEDGED == await deliveries.push(message)
    assert ("done", str(message.created_at_ms), "someone", TRACEPARENT) == await deliveries.state(
        message, "status", "created_at", "owner", "trace"
    )


async def test_record_lost_in_mid_call_is_written_whole(
    deliveries: Deliveries, message: JobMessage, gemini_stand_in: GeminiStandIn, raw: redis.asyncio.Redis
) -> None:
    """What was paid for is done, readable as any other job."""
    await gemini_stand_in.fail("hold")
    pushed = asyncio.create_task(deliveries.push(message))
    await gemini_stand_in.until_waiting(1)
    await raw.flushall()
    await gemini_stand_in.release()
    assert ACKNOWLEDGED == await pushed
    assert ("done", str(message.created_at_ms), "1", "0") == await deliveries.state(
        message, "status", "created_at", "attempt", "generation"
    )


async def test_result_that_vanished_is_drawn_again(
    deliveries: Deliveries, gemini_stand_in: GeminiStandIn, raw: redis.asyncio.Redis
) -> None:
    """`done` always has a result to show."""
    assert [ACKNOWLEDGED] * 2 == [await deliveries.push(job()) for _ in range(2)]
    assert 1 == await gemini_stand_in.calls()
    await raw.delete(*await raw.keys(keys.result("*")))
    assert ACKNOWLEDGED == await deliveries.push(job())
    assert (2, 1) == (await gemini_stand_in.calls(), len(await raw.keys(keys.result("*"))))


# the sender's own fault: acknowledged, no copy


@pytest.mark.parametrize(
    ("fault", "code"),
    [({"kind": "refuse"}, "CONTENT_REFUSED"), ({"kind": "status", "status": 400}, "BAD_INPUT")],
    ids=["refused", "bad input"],
)
async def test_refused_sketch_is_an_error_at_once(
    deliveries: Deliveries,
    message: JobMessage,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
    fault: dict[str, Any],
    code: str,
) -> None:
    """One call; made so or found so, it leaves no dead letter."""
    await gemini_stand_in.fail(**fault)
    assert [ACKNOWLEDGED] * 2 == [await deliveries.push(message) for _ in range(2)]
    assert ("error", code, "1") == await deliveries.state(message, "status", "code", "attempt")
    assert (1, []) == (await gemini_stand_in.calls(), await copies(pubsub_stand_in))


async def test_canceled_job_is_left_alone(
    deliveries: Deliveries, message: JobMessage, gemini_stand_in: GeminiStandIn, pubsub_stand_in: PubsubStandIn
) -> None:
    """Its sender knows."""
    await deliveries.accepted(message, status="error", code="CANCELED")
    assert ACKNOWLEDGED == await deliveries.push(message)
    assert (0, []) == (await gemini_stand_in.calls(), await copies(pubsub_stand_in))


# given up: acknowledged, with a copy


async def test_three_failed_calls_exhaust_a_job(
    deliveries: Deliveries, message: JobMessage, gemini_stand_in: GeminiStandIn, pubsub_stand_in: PubsubStandIn
) -> None:
    """Redelivered twice; then the message goes to the dead letters as it came, with why and how often."""
    await gemini_stand_in.fail("status", status=500, times=3)
    for attempt, expected in ((1, AGAIN), (2, AGAIN), (3, ACKNOWLEDGED)):
        assert expected == await deliveries.push(message, attempt=attempt)
        await deliveries.forget_failures()
    assert ("error", "PROVIDER_FAILED", "3") == await deliveries.state(message, "status", "code", "attempt")
    assert 3 == await gemini_stand_in.calls()
    [(data, attributes)] = await pubsub_stand_in.dead_letters()
    assert message.data() == data
    assert {**message.attributes(), "code": "PROVIDER_FAILED", "delivery_attempt": "3"} == attributes


async def test_three_attempts_that_died_exhaust_a_job(
    deliveries: Deliveries, message: JobMessage, gemini_stand_in: GeminiStandIn, pubsub_stand_in: PubsubStandIn
) -> None:
    """A sketch that kills its worker is not tried for ever."""
    await deliveries.accepted(message, status="running", attempt=3, token="dead", lease_until_ms=1)
    assert ACKNOWLEDGED == await deliveries.push(message)
    assert ("error", "UNAVAILABLE") == await deliveries.state(message, "status", "code")
    assert (0, [("UNAVAILABLE", message.request_id)]) == (await gemini_stand_in.calls(), await copies(pubsub_stand_in))


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_misconfigured_call_is_given_up(
    deliveries: Deliveries,
    message: JobMessage,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
    status: int,
) -> None:
    """An operator corrects the setting and has the copies done."""
    await gemini_stand_in.fail("status", status=status)
    assert ACKNOWLEDGED == await deliveries.push(message)
    assert ("error", "MISCONFIGURED") == await deliveries.state(message, "status", "code")
    assert [("MISCONFIGURED", message.request_id)] == await copies(pubsub_stand_in)


async def test_job_that_is_too_old_is_given_up(
    deliveries: Deliveries, message: JobMessage, gemini_stand_in: GeminiStandIn, pubsub_stand_in: PubsubStandIn
) -> None:
    """Nobody waits for it any more, so nothing is called; found so, it is copied again."""
    await deliveries.accepted(message, created_at=now_ms() - 2 * HOUR_MS)
    assert [ACKNOWLEDGED] * 2 == [await deliveries.push(message) for _ in range(2)]
    assert ("error", "EXPIRED") == await deliveries.state(message, "status", "code")
    assert (0, [("EXPIRED", message.request_id)] * 2) == (await gemini_stand_in.calls(), await copies(pubsub_stand_in))


async def test_failed_copy_asks_for_redelivery(
    deliveries: Deliveries, message: JobMessage, gemini_stand_in: GeminiStandIn, pubsub_stand_in: PubsubStandIn
) -> None:
    """The message is not lost: the next delivery finds the job given up, and copies it."""
    await gemini_stand_in.fail("status", status=403)
    await pubsub_stand_in.fail("refuse_publish", status=403)
    assert AGAIN == await deliveries.push(message, attempt=1)
    assert [] == await copies(pubsub_stand_in)
    assert ACKNOWLEDGED == await deliveries.push(message, attempt=2)
    assert ("error", "MISCONFIGURED") == await deliveries.state(message, "status", "code")
    assert [("MISCONFIGURED", message.request_id)] == await copies(pubsub_stand_in)
    assert 1 == await gemini_stand_in.calls()


# malformed


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        b"[]",
        b"null",
        b"{}",
        b'{"message": 1}',
        b'{"message": {"data": "*"}}',
        b'{"message": {"data": 1}}',
        b'{"message": {"data": "", "attributes": 1}}',
        b'{"message": {"data": "", "attributes": {"request_id": 1}}}',
        orjson.dumps(envelope(b"", {})),
        orjson.dumps(envelope(b"x", {"request_id": "*"})),
        orjson.dumps(envelope(job().data(), {**job().attributes(), "request_id": "UPPER"})),
    ],
    ids=lambda body: ascii(body)[2:42],
)
async def test_what_is_no_job_goes_to_the_dead_letters(
    deliveries: Deliveries, pubsub_stand_in: PubsubStandIn, raw: redis.asyncio.Redis, body: bytes
) -> None:
    """Acknowledged, or it would come back for days; no record is made of it."""
    assert ACKNOWLEDGED == await deliveries.post(body)
    assert ["MALFORMED"] == [code for code, _ in await copies(pubsub_stand_in)]
    assert [] == await raw.keys()


@pytest.mark.parametrize(
    ("data", "attributes"),
    [
        (b"", {}),
        (b"no newline", {}),
        (b"no JSON\n", {}),
        (b'{"schema": 1}\n', {}),
        (b'{"schema": 0, "svg": "", "hints": "", "variant": 0}\n' + job().sketch.png, {}),
        (b'{"schema": 1, "svg": "", "hints": 5, "variant": 0}\n' + job().sketch.png, {}),
        (b'{"schema": 1, "svg": "", "hints": "", "variant": true}\n' + job().sketch.png, {}),
        (job().data()[:-20], {}),
        (job().data(), {"created_at": "yesterday"}),
        (job().data(), {"generation": "-1"}),
    ],
    ids=[
        "empty",
        "one line",
        "no JSON",
        "no fields",
        "old schema",
        "hints",
        "variant",
        "cut",
        "created_at",
        "generation",
    ],
)
async def test_unreadable_job_is_settled_by_its_id(
    deliveries: Deliveries,
    message: JobMessage,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
    data: bytes,
    attributes: dict[str, str],
) -> None:
    """Whoever polls it is told, and the message is kept as it came."""
    await deliveries.accepted(message)
    sent = message.attributes() | attributes
    assert ACKNOWLEDGED == await deliveries.post(envelope(data, sent, attempt=4))
    assert ("error", "BAD_INPUT") == await deliveries.state(message, "status", "code")
    [(kept, kept_attributes)] = await pubsub_stand_in.dead_letters()
    assert (data, sent | {"code": "MALFORMED", "delivery_attempt": "4"}) == (kept, kept_attributes)
    assert 0 == await gemini_stand_in.calls()


async def test_unreadable_duplicate_does_not_undo_a_done_job(deliveries: Deliveries, message: JobMessage) -> None:
    """Settled stays settled."""
    assert ACKNOWLEDGED == await deliveries.push(message)
    assert ACKNOWLEDGED == await deliveries.post(envelope(b"cut", message.attributes()))
    assert ("done",) == await deliveries.state(message, "status")


async def test_newer_schema_waits_for_a_newer_revision(
    deliveries: Deliveries, message: JobMessage, pubsub_stand_in: PubsubStandIn
) -> None:
    """Redelivered, neither settled nor copied."""
    await deliveries.accepted(message)
    assert AGAIN == await deliveries.post(envelope(b'{"schema": 2, "new": 1}\n', message.attributes()))
    assert ("queued", "0") == await deliveries.state(message, "status", "attempt")
    assert [] == await copies(pubsub_stand_in)


# again


async def test_short_lease_is_waited_out_here(
    deliveries: Deliveries, message: JobMessage, gemini_stand_in: GeminiStandIn
) -> None:
    """The holder died: half a second later the same delivery takes over."""
    await deliveries.accepted(message, status="running", attempt=1, token="dead", lease_until_ms=now_ms() + 500)
    assert ACKNOWLEDGED == await deliveries.push(message)
    assert ("done", "2") == await deliveries.state(message, "status", "attempt")
    assert 1 == await gemini_stand_in.calls()


async def test_long_lease_asks_for_redelivery_at_once(
    deliveries: Deliveries, message: JobMessage, gemini_stand_in: GeminiStandIn
) -> None:
    """Beyond 30 s this instance has better things to do."""
    await deliveries.accepted(message, status="running", attempt=1, token="alive", lease_until_ms=now_ms() + 60_000)
    began_s = time.monotonic()
    assert AGAIN == await deliveries.push(message)
    assert time.monotonic() - began_s < 2
    assert ("running", "1", "alive") == await deliveries.state(message, "status", "attempt", "token")
    assert 0 == await gemini_stand_in.calls()


@pytest.mark.parametrize("status", [429, 503])
async def test_short_cooldown_is_waited_out_here(
    deliveries: Deliveries, message: JobMessage, gemini_stand_in: GeminiStandIn, status: int
) -> None:
    """The overload cost nothing, so the attempt that succeeds is the first."""
    await gemini_stand_in.fail("status", status=status, retry_after_s=1)
    pushed = asyncio.create_task(deliveries.push(message))
    await deliveries.until(message, status="queued", attempt="0")
    await deliveries.forget_failures()
    assert ACKNOWLEDGED == await pushed
    assert ("done", "1", "") == await deliveries.state(message, "status", "attempt", "retry_at")
    assert 2 == await gemini_stand_in.calls()


async def test_long_cooldown_asks_for_redelivery_at_once(
    deliveries: Deliveries, message: JobMessage, gemini_stand_in: GeminiStandIn
) -> None:
    """No attempt is used up, the next delivery calls nobody, and pollers see when it will be tried again."""
    await gemini_stand_in.fail("status", status=429, retry_after_s=40)
    for _ in range(2):
        assert AGAIN == await deliveries.push(message)
        await deliveries.forget_failures()
        status, attempt, code, retry_at = await deliveries.state(message, "status", "attempt", "code", "retry_at")
        assert ("queued", "0", "PROVIDER_OVERLOADED") == (status, attempt, code)
        assert 30_000 < int(retry_at or 0) - now_ms() <= 40_000
    assert 1 == await gemini_stand_in.calls()


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"kind": "status", "status": 500}, "PROVIDER_FAILED"),
        ({"kind": "status", "status": 504}, "TIMEOUT"),
        ({"kind": "no_image"}, "NO_IMAGE"),
        ({"kind": "garbage", "what": "cut_json"}, "BAD_ANSWER"),
    ],
    ids=["failed", "timeout", "no image", "garbage"],
)
async def test_retryable_failure_asks_for_redelivery(
    deliveries: Deliveries,
    message: JobMessage,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
    fault: dict[str, Any],
    code: str,
) -> None:
    """Queued again with its reason; the second attempt succeeds and wipes it."""
    await gemini_stand_in.fail(**fault)
    assert AGAIN == await deliveries.push(message)
    assert ("queued", "1", code) == await deliveries.state(message, "status", "attempt", "code")
    await deliveries.forget_failures()
    assert ACKNOWLEDGED == await deliveries.push(message, attempt=2)
    assert ("done", "2", "") == await deliveries.state(message, "status", "attempt", "code")
    assert (2, []) == (await gemini_stand_in.calls(), await copies(pubsub_stand_in))


async def test_lost_token_completes_all_the_same(
    deliveries: Deliveries, message: JobMessage, gemini_stand_in: GeminiStandIn
) -> None:
    """One whose job was taken over in mid-call has the drawing: the job is done."""
    await gemini_stand_in.fail("hold")
    pushed = asyncio.create_task(deliveries.push(message))
    await gemini_stand_in.until_waiting(1)
    await deliveries.rewrite(message, token="another", lease_until_ms=now_ms() + 60_000)
    await gemini_stand_in.release()
    assert ACKNOWLEDGED == await pushed
    assert ("done",) == await deliveries.state(message, "status")


async def test_lost_token_fails_nothing(
    deliveries: Deliveries, gemini_stand_in: GeminiStandIn, pubsub_stand_in: PubsubStandIn
) -> None:
    """One whose job was taken over in mid-call cannot end it, not even as bad input: it is redelivered."""
    message = job(sketch=Sketch.from_png(hollow_png(), "", "", 0, max_png_bytes=4096))
    await gemini_stand_in.fail("hold")
    pushed = asyncio.create_task(deliveries.push(message))
    await gemini_stand_in.until_waiting(1)
    await deliveries.rewrite(message, token="another", lease_until_ms=now_ms() + 60_000)
    await gemini_stand_in.release()
    assert AGAIN == await pushed
    assert ("running", "another", "1") == await deliveries.state(message, "status", "token", "attempt")
    assert [] == await copies(pubsub_stand_in)


# Redis away


@pytest.fixture(scope="module")
def cut_off_server(environment: dict[str, str]) -> Iterator[Server]:
    """A worker whose Redis does not run."""
    yield from servers.a_function("worker", environment | {"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"})


@pytest.fixture
def cut_off(
    cut_off_server: Server,
    http: httpx2.AsyncClient,
    raw: redis.asyncio.Redis,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
) -> Deliveries:
    return Deliveries(http, cut_off_server.url, raw)


async def test_without_redis_everything_is_redelivered(
    cut_off: Deliveries, message: JobMessage, gemini_stand_in: GeminiStandIn, pubsub_stand_in: PubsubStandIn
) -> None:
    """Nothing is spent without a lease, and nothing given up; an unreadable job is not settled, so it comes back."""
    assert AGAIN == await cut_off.push(message)
    assert AGAIN == await cut_off.post(envelope(b"cut", message.attributes()))
    assert (0, []) == (await gemini_stand_in.calls(), await copies(pubsub_stand_in))


async def test_without_redis_it_is_up_and_not_ready(cut_off: Deliveries, http: httpx2.AsyncClient) -> None:
    """A new instance would not help."""
    answers = [(await http.get(f"{cut_off.url}{path}")).status_code for path in ("/up", "/ready")]
    assert [200, 503] == answers


# what is no delivery


async def test_up_and_ready(deliveries: Deliveries, http: httpx2.AsyncClient) -> None:
    """Both answer 200 while Redis does."""
    assert [200, 200] == [(await http.get(f"{deliveries.url}{path}")).status_code for path in ("/up", "/ready")]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_other_methods_are_refused(deliveries: Deliveries, http: httpx2.AsyncClient, method: str) -> None:
    """Pub/Sub pushes by POST."""
    answer = await http.request(method, f"{deliveries.url}/")
    assert (405, "POST") == (answer.status_code, answer.headers["allow"])


async def test_variants_and_digest_are_the_workers_own(deliveries: Deliveries, raw: redis.asyncio.Redis) -> None:
    """The digest in a message is for logs: the worker names what it drew by its own settings."""
    other = job(sketch=sketch(variant=3), digest="what another revision computed")
    assert ACKNOWLEDGED == await deliveries.push(other)
    [digest] = await deliveries.state(other, "digest")
    assert 1 == await raw.exists(keys.result(digest or ""))
