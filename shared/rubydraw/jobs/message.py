"""A job as its Pub/Sub message carries it: the durable copy, from which everything else can be recreated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from rubydraw.errors import BadSketch
from rubydraw.principal import NOBODY, Limits, Principal
from rubydraw.sketch import Sketch

SCHEMA = 2
"""The newest schema. Each message uses the oldest one that can express it, so that older workers do what they can."""

_REQUEST_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_DOLLARS = re.compile(r"[0-9]{1,7}(\.[0-9]{1,6})?")
_WHOLE_NUMBER = re.compile(r"[0-9]{1,13}")  # as a time in ms, up to the year 2286


class Malformed(ValueError):
    """Not a message of ours; `request_id` is set if at least that could be read."""

    def __init__(self, text: str, request_id: str = "") -> None:
        self.request_id = request_id
        super().__init__(text)


class NewerSchema(ValueError):
    """Written by a newer revision, which will understand it."""


def is_request_id(text: str) -> bool:
    """Whether `text` is a lower-case UUID v4: nothing else is ever put into a key."""
    return _REQUEST_ID.fullmatch(text) is not None


def generation(attributes: Mapping[str, str]) -> int:
    """Return the generation of a message, 0 if it cannot be read: every replayed job has a higher one."""
    named = attributes.get("generation", "")
    return int(named) if _WHOLE_NUMBER.fullmatch(named) else 0


@dataclass(frozen=True, slots=True)
class JobMessage:
    """
    Who asked for what, and when.

    `created_at_ms`: ms since 1970, by Redis' clock. `digest`: as the sender computed it, for logs only.
    `generation`: how often an operator has replayed the job. `replayed_at_ms`: when last, or 0.
    `refresh`: a drawing finished before the job was accepted does not count; needs schema 2.
    `payer`: whose account a call for the job is charged to, and what that account may spend. The worker does not know
    the callers, and can trust this since only our own function can publish.
    `message_id`: Pub/Sub's own id of the message that was delivered; empty before.
    """

    request_id: str
    owner: str
    created_at_ms: int
    generation: int
    digest: str
    traceparent: str
    sketch: Sketch
    replayed_at_ms: int = 0
    refresh: bool = False
    payer: Principal = NOBODY
    message_id: str = ""

    @property
    def since_ms(self) -> int:
        """A drawing finished before this does not count; ms since 1970, by Redis' clock."""
        return self.created_at_ms if self.refresh else 0

    def data(self) -> bytes:
        """Return one line of JSON, a newline, and the raw PNG: within the JSON it would have to be in base64."""
        sketch = self.sketch
        head = {"schema": 2 if self.refresh else 1, "svg": sketch.svg, "hints": sketch.hints, "variant": sketch.variant}
        if self.refresh:
            head["refresh"] = True
        return orjson.dumps(head) + b"\n" + sketch.png

    def attributes(self) -> dict[str, str]:
        """Return what can be read without decoding the message's data."""
        named = {
            "request_id": self.request_id,
            "owner": self.owner,
            "created_at": str(self.created_at_ms),
            "generation": str(self.generation),
            "digest": self.digest,
            "traceparent": self.traceparent,
            "replayed_at": str(self.replayed_at_ms or ""),
            **_paid_by(self.payer),
        }
        return {name: value for name, value in named.items() if value}

    @classmethod
    def read(
        cls, data: bytes, attributes: Mapping[str, str], *, max_png_bytes: int, message_id: str = ""
    ) -> JobMessage:
        """Parse a message and check it like any other input; raise Malformed or NewerSchema."""
        request_id = attributes.get("request_id", "")
        if not is_request_id(request_id):
            raise Malformed("the attribute request_id is not a request id")
        line, newline, png = data.partition(b"\n")
        head = _head(line, request_id) if newline else {}
        numbers = [
            attributes.get("created_at", ""),
            attributes.get("generation", ""),
            attributes.get("replayed_at", "0"),
        ]
        if not head or not all(map(_WHOLE_NUMBER.fullmatch, numbers)):
            raise Malformed(
                "its head is missing, or created_at, generation or replayed_at is not a whole number", request_id
            )
        try:
            sketch = Sketch.from_png(png, head["svg"], head["hints"], head["variant"], max_png_bytes=max_png_bytes)
        except BadSketch as bad:
            raise Malformed(bad.message, request_id) from None
        return cls(
            request_id=request_id,
            owner=attributes.get("owner", ""),
            created_at_ms=int(numbers[0]),
            generation=int(numbers[1]),
            digest=attributes.get("digest", ""),
            traceparent=attributes.get("traceparent", ""),
            sketch=sketch,
            replayed_at_ms=int(numbers[2]),
            refresh=head.get("refresh", False),
            payer=_payer(attributes),
            message_id=message_id,
        )


def _head(line: bytes, request_id: str) -> dict[str, Any]:
    try:
        head = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise Malformed("its head is not JSON", request_id) from None
    schema = head.get("schema") if isinstance(head, dict) else None
    if type(schema) is int and schema > SCHEMA:
        raise NewerSchema(f"schema {schema}")
    types = {"svg": str, "hints": str, "variant": int} | ({"refresh": bool} if schema == 2 else {})
    known = type(schema) is int and schema in (1, 2)
    if not known or any(type(head.get(name)) is not kind for name, kind in types.items()):
        raise Malformed("its head does not have the fields of a known schema", request_id)
    return dict(head)


def _paid_by(payer: Principal) -> dict[str, str]:
    calls, dollars = payer.limits.calls_per_day, payer.limits.dollars_per_day
    return {
        "account": payer.account,
        "calls_per_day": "" if calls is None else str(calls),
        "dollars_per_day": "" if dollars is None else f"{dollars:.6f}",
    }


def _payer(attributes: Mapping[str, str]) -> Principal:
    """Read whose account a call is charged to; a ceiling that cannot be read is that of the settings."""
    calls, dollars = attributes.get("calls_per_day", ""), attributes.get("dollars_per_day", "")
    limits = Limits(
        calls_per_day=int(calls) if _WHOLE_NUMBER.fullmatch(calls) else None,
        dollars_per_day=float(dollars) if _DOLLARS.fullmatch(dollars) else None,
    )
    return Principal(account=attributes.get("account", ""), limits=limits)
