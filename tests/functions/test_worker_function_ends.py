"""The worker function as the platform runs it: jobs that end without a drawing, and what becomes of their messages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx2
import orjson
import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.jobs.message import JobMessage

from tests import servers
from tests.functions.deliveries import ACKNOWLEDGED, AGAIN, Deliveries, copies, envelope
from tests.servers import Server, free_port
from tests.sketches import HOUR_MS, job, now_ms
from tests.stand_ins import GeminiStandIn, PubsubStandIn


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
    assert abs(now_ms() - int(attributes.pop("given_up_at"))) < 5000
    assert {**message.attributes(), "code": "PROVIDER_FAILED", "delivery_attempt": "3"} == attributes


async def test_gemini_out_of_reach_ends_no_job(
    deliveries: Deliveries,
    message: JobMessage,
    environment: dict[str, str],
    http: httpx2.AsyncClient,
    raw: redis.asyncio.Redis,
) -> None:
    """Nothing can have been billed: each attempt is handed back, and the first that reaches Gemini is the first."""
    with servers.running_function("worker", environment | {"GEMINI_BASE_URL": "http://127.0.0.1:1"}) as server:
        cut_off = Deliveries(http, server.url, raw)
        for attempt in range(1, 5):
            assert AGAIN == await cut_off.push(message, attempt=attempt)
            assert ("queued", "0") == await cut_off.state(message, "status", "attempt")
            await cut_off.forget_failures()
    assert ACKNOWLEDGED == await deliveries.push(message, attempt=5)
    assert ("done", "1") == await deliveries.state(message, "status", "attempt")


async def test_three_attempts_that_died_exhaust_a_job(
    deliveries: Deliveries, message: JobMessage, gemini_stand_in: GeminiStandIn, pubsub_stand_in: PubsubStandIn
) -> None:
    """A sketch that kills its worker is not tried for ever."""
    await deliveries.accepted(message, status="running", attempt=3, token="dead", lease_until_ms=1)
    assert ACKNOWLEDGED == await deliveries.push(message)
    assert ("error", "UNAVAILABLE") == await deliveries.state(message, "status", "code")
    assert (0, [("UNAVAILABLE", message.request_id)]) == (await gemini_stand_in.calls(), await copies(pubsub_stand_in))


@pytest.mark.parametrize(("refresh", "newer_ms"), [(False, -60_000), (True, 1)])
async def test_three_attempts_of_which_the_last_one_kept_its_drawing_are_a_job_done(
    deliveries: Deliveries,
    message: JobMessage,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
    raw: redis.asyncio.Redis,
    refresh: bool,
    newer_ms: int,
) -> None:
    """It was paid for; its worker died before it could say so."""
    assert ACKNOWLEDGED == await deliveries.push(job())
    [kept] = await raw.keys(keys.result("*"))
    await raw.hset(kept, "created_at_ms", message.created_at_ms + newer_ms)
    message = replace(message, refresh=refresh)
    await deliveries.accepted(message, status="running", attempt=3, token="dead", lease_until_ms=1, code="TIMEOUT")
    assert ACKNOWLEDGED == await deliveries.push(message)
    assert ("done", "HIT", "") == await deliveries.state(message, "status", "outcome", "code")
    assert (1, []) == (await gemini_stand_in.calls(), await copies(pubsub_stand_in))


async def test_an_older_drawing_ends_no_job_that_refreshes(
    deliveries: Deliveries, message: JobMessage, raw: redis.asyncio.Redis
) -> None:
    """What none of its three attempts brought is not there."""
    assert ACKNOWLEDGED == await deliveries.push(job())
    [kept] = await raw.keys(keys.result("*"))
    message = replace(message, refresh=True)
    await raw.hset(kept, "created_at_ms", message.created_at_ms - 1)
    await deliveries.accepted(message, status="running", attempt=3, token="dead", lease_until_ms=1)
    assert ACKNOWLEDGED == await deliveries.push(message)
    assert ("error", "UNAVAILABLE") == await deliveries.state(message, "status", "code")


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
    deliveries: Deliveries,
    worker_server: Server,
    message: JobMessage,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
) -> None:
    """The message is not lost: the next delivery finds the job given up, and copies it; the log says which one did."""
    await gemini_stand_in.fail("status", status=403)
    await pubsub_stand_in.fail("refuse_publish", status=403)
    assert AGAIN == await deliveries.push(message, attempt=1)
    assert [] == await copies(pubsub_stand_in)
    assert ACKNOWLEDGED == await deliveries.push(message, attempt=2)
    assert ("error", "MISCONFIGURED") == await deliveries.state(message, "status", "code")
    assert [("MISCONFIGURED", message.request_id)] == await copies(pubsub_stand_in)
    assert 1 == await gemini_stand_in.calls()
    given_up = [orjson.loads(line) for line in worker_server.lines if '"job.given_up"' in line]
    assert [False, True] == [line["kept"] for line in given_up if line["request_id"] == message.request_id]


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
    """Acknowledged, or it would come back for days; no record is made of it, and the trace leads to its log lines."""
    assert ACKNOWLEDGED == await deliveries.post(body)
    [(_, attributes)] = await pubsub_stand_in.dead_letters()
    assert ("MALFORMED", True) == (
        attributes["code"],
        re.match("00-[0-9a-f]{32}-", attributes["traceparent"]) is not None,
    )
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
    assert kept_attributes.pop("given_up_at")
    assert (data, sent | {"code": "MALFORMED", "delivery_attempt": "4"}) == (kept, kept_attributes)
    assert 0 == await gemini_stand_in.calls()


async def test_unreadable_duplicate_does_not_undo_a_done_job(deliveries: Deliveries, message: JobMessage) -> None:
    """Settled stays settled."""
    assert ACKNOWLEDGED == await deliveries.push(message)
    assert ACKNOWLEDGED == await deliveries.post(envelope(b"cut", message.attributes()))
    assert ("done",) == await deliveries.state(message, "status")


async def test_unreadable_duplicate_does_not_end_a_replayed_job(deliveries: Deliveries, message: JobMessage) -> None:
    """Nor does one whose generation cannot be read either: the job is done by the message of its replay."""
    await deliveries.accepted(message, generation=1)
    for attributes in (message.attributes(), message.attributes() | {"generation": "?"}):
        assert ACKNOWLEDGED == await deliveries.post(envelope(b"cut", attributes))
        assert ("queued",) == await deliveries.state(message, "status")
    assert ACKNOWLEDGED == await deliveries.push(replace(message, generation=1))
    assert ("done",) == await deliveries.state(message, "status")


async def test_unreadable_job_that_redis_has_lost_is_told_to_its_owner(
    deliveries: Deliveries, message: JobMessage
) -> None:
    """The record is made of what the attributes say; without its owner it would be `not_found` for them."""
    assert ACKNOWLEDGED == await deliveries.post(envelope(b"cut", message.attributes()))
    found = await deliveries.state(message, "status", "code", "owner", "generation")
    assert ("error", "BAD_INPUT", message.owner, "0") == found


async def test_newer_schema_waits_for_a_newer_revision(
    deliveries: Deliveries, message: JobMessage, pubsub_stand_in: PubsubStandIn
) -> None:
    """Redelivered, neither settled nor copied."""
    await deliveries.accepted(message)
    assert AGAIN == await deliveries.post(envelope(b'{"schema": 3, "new": 1}\n', message.attributes()))
    assert ("queued", "0") == await deliveries.state(message, "status", "attempt")
    assert [] == await copies(pubsub_stand_in)


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
    cut_off: Deliveries,
    cut_off_server: Server,
    message: JobMessage,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
) -> None:
    """
    Nothing is spent without a lease, and nothing given up; an unreadable job is not settled, so it comes back.

    The log says that Redis is away.
    """
    assert AGAIN == await cut_off.push(message)
    assert AGAIN == await cut_off.post(envelope(b"cut", message.attributes()))
    assert (0, []) == (await gemini_stand_in.calls(), await copies(pubsub_stand_in))
    assert any('"redis.lost"' in line for line in cut_off_server.lines)


async def test_without_redis_it_is_up_and_not_ready(cut_off: Deliveries, http: httpx2.AsyncClient) -> None:
    """A new instance would not help."""
    answers = [(await http.get(f"{cut_off.url}{path}")).status_code for path in ("/up", "/ready")]
    assert [200, 503] == answers
