"""One delivery: envelope in, outcome out (Pub/Sub: "Push subscriptions"; a CloudEvent has the same body)."""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

import orjson
import pybase64
from rubydraw import logs
from rubydraw.errors import Code, SketchError, StoreUnavailable
from rubydraw.jobs.message import JobMessage, Malformed, NewerSchema, generation
from rubydraw.jobs.transitions import Jobs
from rubydraw.pubsub import Publisher
from rubydraw.settings import Settings
from rubydraw.work import Outcome, Work
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

ACKNOWLEDGED, REDELIVER = 204, 503
MAX_BODY_BYTES = 16 * 1024 * 1024
BODY_S = 30.0
"""The time for a whole body: until it is complete, it takes up room that others need."""
MAX_DEAD_LETTER_BYTES = 7_500_000
"""What fits, as base64, into a message of 10 MB."""


class Envelope(NamedTuple):
    """What Pub/Sub wraps around a message. `attempt`: its delivery attempt, 0 if the envelope names none."""

    data: bytes
    attributes: dict[str, str]
    message_id: str
    attempt: int


class Deliveries:
    """Handles deliveries until the process ends; raises nothing."""

    def __init__(self, work: Work, jobs: Jobs, publisher: Publisher, settings: Settings) -> None:
        self._work, self._jobs, self._publisher = work, jobs, publisher
        self._dead_letter_topic = settings.dead_letter_topic
        self._max_png_bytes = settings.max_png_bytes

    async def __call__(self, request: Request) -> Response:
        """Answer 204 to acknowledge a delivery, 503 to have it delivered again."""
        if request.method != "POST":
            return Response("Pub/Sub pushes by POST.", 405, {"allow": "POST"})
        try:
            execution_id = request.headers.get("function-execution-id", "")
            return Response(status_code=await self._deliver(await _body(request), execution_id))
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:  # its text may hold what a client sent; the framework would log it
            logs.error("delivery.fault", kind=type(error).__name__, at=logs.place(error))
            return Response(status_code=REDELIVER)

    async def _deliver(self, body: bytes, execution_id: str) -> int:
        envelope = _envelope(body)
        logs.trace_request(envelope.attributes.get("traceparent", "") if envelope else "", execution_id)
        if envelope is None:
            return await self._malformed(Envelope(body, {}, "", 0), Malformed("it is not a Pub/Sub envelope"))
        del body
        try:
            job = JobMessage.read(
                envelope.data, envelope.attributes, max_png_bytes=self._max_png_bytes, message_id=envelope.message_id
            )
        except NewerSchema:
            logs.warning("delivery.newer_schema", message_id=envelope.message_id)
            return REDELIVER
        except Malformed as malformed:
            return await self._malformed(envelope, malformed)
        # A job may wait for minutes. Only its sketch is held meanwhile: for one of 1 MB, 1.2 MiB instead of 3.7.
        envelope = envelope._replace(data=b"")
        outcome, code = await self._work(job)
        match outcome:
            case Outcome.SETTLED:
                return ACKNOWLEDGED
            case Outcome.GIVEN_UP:
                return await self._give_up(envelope._replace(data=job.data()), code)
        return REDELIVER

    async def _malformed(self, envelope: Envelope, malformed: Malformed) -> int:
        """Settle the job if its id can be read, so that nobody waits for it, and keep the message for an operator."""
        logs.error("delivery.malformed", message_id=envelope.message_id, reason=str(malformed))
        if malformed.request_id:
            try:
                await self._jobs.reject(
                    malformed.request_id, Code.BAD_INPUT, "The job could not be read; send the sketch again.",
                    generation=generation(envelope.attributes), owner=envelope.attributes.get("owner", ""),
                )  # fmt: skip
            except StoreUnavailable:
                return REDELIVER
        return await self._give_up(envelope, "MALFORMED")

    async def _give_up(self, envelope: Envelope, code: str) -> int:
        """Copy a message to the dead-letter topic and acknowledge it; ask for it again if the copy fails."""
        kept = bool(self._dead_letter_topic) and await self._copied(envelope, code)
        logs.error(
            "job.given_up", request_id=envelope.attributes.get("request_id", ""), code=code,
            message_id=envelope.message_id, kept=kept,
        )  # fmt: skip
        return ACKNOWLEDGED if kept or not self._dead_letter_topic else REDELIVER

    async def _copied(self, envelope: Envelope, code: str) -> bool:
        """Whether the dead-letter topic took a copy."""
        attributes = envelope.attributes | {
            "code": code,
            "delivery_attempt": str(envelope.attempt),
            "given_up_at": str(time.time_ns() // 1_000_000),
            "traceparent": logs.traceparent(),
        }
        try:
            await self._publisher.publish(self._dead_letter_topic, envelope.data[:MAX_DEAD_LETTER_BYTES], attributes)
        except SketchError:
            return False
        return True


async def _body(request: Request) -> bytes:
    """Return the body, empty if larger than any message can be; raise ClientDisconnect if it does not come in time."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    return b""
    except TimeoutError:
        raise ClientDisconnect from None
    return bytes(body)


def _envelope(body: bytes) -> Envelope | None:
    try:
        outer: Any = orjson.loads(body)
        message = outer["message"]
        attributes = message.get("attributes") or {}
        data = pybase64.b64decode(message.get("data") or "", validate=True)
        attempt = outer.get("deliveryAttempt") or 0
        message_id = message.get("messageId") or message.get("message_id") or ""
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    words = isinstance(attributes, dict) and all(isinstance(value, str) for value in attributes.values())
    if not words or not isinstance(attempt, int) or not isinstance(message_id, str):
        return None
    return Envelope(data, attributes, message_id, attempt)
