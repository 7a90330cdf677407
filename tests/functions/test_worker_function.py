"""The worker function as the platform runs it: jobs that are done, now or when they are delivered again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import httpx2
import orjson
import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.jobs.message import JobMessage
from rubydraw.sketch import Sketch

from tests import servers
from tests.functions.deliveries import ACKNOWLEDGED, AGAIN, CLOUD_EVENT, Deliveries, copies, envelope
from tests.sketches import TRACEPARENT, hollow_png, job, now_ms, sketch
from tests.stand_ins import GeminiStandIn, PubsubStandIn


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


async def test_a_job_takes_few_round_trips(
    environment: dict[str, str], http: httpx2.AsyncClient, raw: redis.asyncio.Redis, gemini_stand_in: GeminiStandIn
) -> None:
    """With a call: claim, flight, budget; the drawing kept, paid for, let go of, and done. One that is a hit: two."""
    no_heartbeat = {"LEASE_MS": "120000", "HEARTBEAT_MS": "60000"}
    with servers.running_function("worker", environment | no_heartbeat) as server:
        deliveries = Deliveries(http, server.url, raw)
        assert ACKNOWLEDGED == await deliveries.push(job())  # its scripts are known from now on
        new = job(sketch=sketch(hints="a hat"))
        for message, outcome, round_trips in ((new, "MISS", 4), (job(sketch=new.sketch), "HIT", 2)):
            before = (await raw.info("stats"))["total_reads_processed"]
            assert ACKNOWLEDGED == await deliveries.push(message)
            this_question = 1
            assert round_trips == (await raw.info("stats"))["total_reads_processed"] - before - this_question
            assert (outcome,) == await deliveries.state(message, "outcome")


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


async def test_surplus_messages_of_a_running_job_take_no_place(
    deliveries: Deliveries, message: JobMessage, gemini_stand_in: GeminiStandIn
) -> None:
    """A repeated request published it again: acknowledged at once, while the first message goes on."""
    await gemini_stand_in.fail("hold")
    first = asyncio.create_task(deliveries.push(message, message_id="1"))
    await gemini_stand_in.until_waiting(1)
    assert [ACKNOWLEDGED] * 2 == [await deliveries.push(message, message_id=name) for name in ("2", "3")]
    assert not first.done()
    assert ("running", "1") == await deliveries.state(message, "status", "attempt")
    await gemini_stand_in.release()
    assert ACKNOWLEDGED == await first
    assert ("done", "1", 1) == (*await deliveries.state(message, "status", "attempt"), await gemini_stand_in.calls())


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


async def test_result_outlives_the_job_that_names_it(deliveries: Deliveries, raw: redis.asyncio.Redis) -> None:
    """One that was about to be forgotten is kept for longer than the hour of the job."""
    await deliveries.push(job())
    [key] = await raw.keys(keys.result("*"))
    await raw.pexpire(key, 10_000)
    later = job()
    assert ACKNOWLEDGED == await deliveries.push(later)
    assert ("done", "HIT") == await deliveries.state(later, "status", "outcome")
    assert await raw.pttl(key) > await raw.pttl(keys.status(later.request_id)) > 0


async def test_result_that_vanished_is_drawn_again(
    deliveries: Deliveries, gemini_stand_in: GeminiStandIn, raw: redis.asyncio.Redis
) -> None:
    """`done` always has a result to show."""
    assert [ACKNOWLEDGED] * 2 == [await deliveries.push(job()) for _ in range(2)]
    assert 1 == await gemini_stand_in.calls()
    await raw.delete(*await raw.keys(keys.result("*")))
    assert ACKNOWLEDGED == await deliveries.push(job())
    assert (2, 1) == (await gemini_stand_in.calls(), len(await raw.keys(keys.result("*"))))


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
    assert time.monotonic() - began_s < 20
    assert ("running", "1", "alive") == await deliveries.state(message, "status", "attempt", "token")
    assert 0 == await gemini_stand_in.calls()


@pytest.mark.parametrize("status", [429, 503])
async def test_short_cooldown_is_waited_out_here(
    deliveries: Deliveries, message: JobMessage, gemini_stand_in: GeminiStandIn, status: int
) -> None:
    """The overload cost nothing, so the attempt that succeeds is the first."""
    await gemini_stand_in.fail("status", status=status, retry_after_s=5)
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


async def test_full_worker_has_jobs_delivered_again_and_says_why(
    environment: dict[str, str],
    http: httpx2.AsyncClient,
    raw: redis.asyncio.Redis,
    message: JobMessage,
    gemini_stand_in: GeminiStandIn,
) -> None:
    """Neither an attempt nor a call is spent, and the log has one line of it."""
    await gemini_stand_in.fail("hold")
    with servers.running_function("worker", environment | {"MAX_IN_FLIGHT": "1"}) as server:
        small = Deliveries(http, server.url, raw)
        pushed = asyncio.create_task(small.push(job()))
        await gemini_stand_in.until_waiting(1)
        assert [AGAIN] * 2 == [await small.push(message) for _ in range(2)]
        assert (None,) == await small.state(message, "status")
        told = [orjson.loads(line) for line in server.lines if '"instance.full"' in line]
        assert [("WARNING", "calls")] == [(line["severity"], line["of"]) for line in told]
        await gemini_stand_in.release()
        assert [ACKNOWLEDGED] * 2 == [await pushed, await small.push(message)]


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


async def test_replayed_job_outwaits_the_failure_that_ended_it(
    deliveries: Deliveries, message: JobMessage, gemini_stand_in: GeminiStandIn, raw: redis.asyncio.Redis
) -> None:
    """Its first attempt is a call of its own, not the answer that the last one left behind for some seconds."""
    await gemini_stand_in.fail("status", status=500)
    assert AGAIN == await deliveries.push(message)
    [flight] = await raw.keys(keys.flight("*"))
    await raw.pexpire(flight, 500)
    await deliveries.rewrite(message, status="queued", attempt=0, generation=1)
    assert ACKNOWLEDGED == await deliveries.push(replace(message, generation=1))
    assert ("done", "1") == await deliveries.state(message, "status", "attempt")
    assert 2 == await gemini_stand_in.calls()
