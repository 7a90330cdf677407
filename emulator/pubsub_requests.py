"""Pub/Sub's requests: read from JSON, and refused where the real service refuses them."""

import re
from collections.abc import Mapping
from typing import Any

import orjson
import pybase64
from starlette.requests import Request

from emulator.broker import Refusal, Subscription

_REQUEST_BYTES = 10_485_760
_RESOURCE = re.compile(r"projects/[^/]+/(topics|subscriptions)/(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}")
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")
_MOST_MESSAGES, _MOST_ATTRIBUTES, _KEY_BYTES, _VALUE_BYTES = 1000, 100, 256, 1024
_MOST_BACKOFF_S = 600.0


def refuse(message: str) -> Refusal:
    """The refusal of an invalid request, which would be refused again."""
    return Refusal(400, "INVALID_ARGUMENT", message)


async def body(request: Request) -> dict[str, Any]:
    """The JSON object of a request, which may be absent. Raises Refusal above 10,485,760 bytes."""
    chunks, size_bytes = [], 0
    async for chunk in request.stream():  # read to its end even if too long: half-read requests lose the answer
        size_bytes += len(chunk)
        if size_bytes <= _REQUEST_BYTES:
            chunks.append(chunk)
    if size_bytes > _REQUEST_BYTES:
        raise refuse(f"Request payload size exceeds the limit: {_REQUEST_BYTES} bytes.")
    try:
        parsed = orjson.loads(b"".join(chunks) or b"{}")
    except orjson.JSONDecodeError:
        parsed = None
    if not isinstance(parsed, dict):
        raise refuse("Invalid JSON payload received.")
    return parsed


def resource(name: str) -> str:
    """A well-formed name of a topic or subscription."""
    if not _RESOURCE.fullmatch(name):
        raise refuse(f"Invalid resource name given (name={name}).")
    return name


def messages(body: Mapping[str, Any]) -> list[tuple[str, dict[str, str]]]:
    """Data, as standard base64, and attributes of each message to publish."""
    found = body.get("messages")
    if not isinstance(found, list) or not 0 < len(found) <= _MOST_MESSAGES:
        raise refuse(f"The value for message_count is not between 1 and {_MOST_MESSAGES}.")
    return [_message(message) for message in found]


def _message(message: object) -> tuple[str, dict[str, str]]:
    if not isinstance(message, dict):
        raise refuse("Invalid JSON payload received.")
    data, attributes = message.get("data") or "", message.get("attributes") or {}
    if not data and not attributes:
        raise refuse("One or more messages in the publish request is empty.")
    try:
        # Either alphabet, with or without padding, as Google's JSON takes it.
        plain = str(data).translate(str.maketrans("-_", "+/")).rstrip("=")
        raw = pybase64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        raise refuse("Invalid value at 'messages[0].data' (TYPE_BYTES), Base64 decoding failed.") from None
    if not isinstance(attributes, dict) or not all(isinstance(value, str) for value in attributes.values()):
        raise refuse("Invalid value at 'messages[0].attributes' (TYPE_STRING).")
    sizes = [(len(key.encode()), len(value.encode())) for key, value in attributes.items()]
    if len(sizes) > _MOST_ATTRIBUTES or any(k > _KEY_BYTES or v > _VALUE_BYTES for k, v in sizes):
        raise refuse("One or more attributes are too large or too many.")
    return pybase64.b64encode(raw).decode(), attributes


def subscription(name: str, body: Mapping[str, Any], min_backoff_s: float) -> Subscription:
    """The subscription that is asked for; `min_backoff_s` applies if it has no retry policy."""
    endpoint = _object(body, "pushConfig").get("pushEndpoint") or ""
    endpoints = [part.strip() for part in str(endpoint).split(",")] if endpoint else []
    if not all(re.match(r"https?://[^/]", part) for part in endpoints):
        raise refuse(f"Invalid push endpoint given (endpoint={endpoint}).")
    retry, dead = _object(body, "retryPolicy"), _object(body, "deadLetterPolicy")
    deadline_s = body.get("ackDeadlineSeconds") or 10
    if not isinstance(deadline_s, int | float) or not 0 < deadline_s <= 600:
        raise refuse(f"Invalid ack deadline given (ack_deadline_seconds={deadline_s}).")
    attempts = dead.get("maxDeliveryAttempts") or 5
    if not isinstance(attempts, int) or not 5 <= attempts <= 100:
        raise refuse("max_delivery_attempts must be between 5 and 100.")
    return Subscription(
        name=name,
        topic=str(body.get("topic")),
        endpoints=endpoints,
        ack_deadline_s=deadline_s,
        min_backoff_s=_duration_s(retry.get("minimumBackoff"), min_backoff_s),
        max_backoff_s=_duration_s(retry.get("maximumBackoff"), _MOST_BACKOFF_S),
        dead_letter_topic=dead.get("deadLetterTopic"),
        max_attempts=attempts,
        described={
            "pushConfig": {},
            **body,
            "name": name,
            "ackDeadlineSeconds": deadline_s,
            "state": "ACTIVE",
        },
    )


def ack_ids(body: Mapping[str, Any]) -> list[str]:
    """The ack ids that a request names."""
    found = body.get("ackIds")
    if not isinstance(found, list) or not found:
        raise refuse("No ack ids specified.")
    return [str(ack_id) for ack_id in found]


def _object(body: Mapping[str, Any], field: str) -> dict[str, Any]:
    found = body.get(field) or {}
    if not isinstance(found, dict):
        raise refuse(f"Invalid value at '{field}'.")
    return found


def _duration_s(text: object, default_s: float) -> float:
    if text is None:
        return default_s
    match = _DURATION.fullmatch(str(text))
    if not match or float(match[1]) > _MOST_BACKOFF_S:
        raise refuse(f"Invalid duration given ({text}).")
    return float(match[1])
