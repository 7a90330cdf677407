"""One dead letter: a job that was given up, with why and when; of its sketch only sizes are shown."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel
from rubydraw.clock import iso
from rubydraw.jobs.message import JobMessage, Malformed, NewerSchema, is_request_id
from rubydraw.settings import MOST_PNG_BYTES

from cli.contract import plain

SOURCE = "CloudPubSubDeadLetterSource"
UNDELIVERED = "UNDELIVERED"
"""The code of a letter that Pub/Sub itself gave up: Pub/Sub names none."""


def _decoded(value: Any) -> bytes:
    return base64.b64decode(value or "", validate=True)


class _Words(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True)


class _Message(_Words):
    message_id: str
    publish_time: str = ""
    attributes: dict[str, str] | None = None
    data: Annotated[bytes, BeforeValidator(_decoded)] = Field(b"", repr=False)


class Received(_Words):
    """One message of a pull, as Pub/Sub writes it."""

    ack_id: str
    message: _Message


@dataclass(frozen=True, slots=True)
class Letter:
    """A message of the dead-letter topic, as it was pulled."""

    ack_id: str
    message_id: str
    published_at: str
    attributes: Mapping[str, str]
    data: bytes = field(repr=False)

    @classmethod
    def of(cls, received: Received) -> Letter:
        """Make a letter of a received message."""
        message = received.message
        return cls(
            ack_id=received.ack_id,
            message_id=message.message_id,
            published_at=message.publish_time,
            attributes=message.attributes or {},
            data=message.data,
        )

    @property
    def id(self) -> str:
        """The request id, or the id of the message if no request id can be read."""
        request_id = self.attributes.get("request_id", "")
        return request_id if is_request_id(request_id) else self.message_id

    @property
    def generation(self) -> str:
        return self.attributes.get("generation", "")

    @property
    def key(self) -> tuple[str, str]:
        """The same for each copy of a letter."""
        return self.id, self.generation

    @property
    def code(self) -> str:
        return self.attributes.get("code") or UNDELIVERED

    def named(self, identities: Collection[str]) -> set[str]:
        """Return those of the ids that name this letter."""
        return {self.id, self.message_id} & set(identities)

    def job(self) -> JobMessage | str:
        """Return the job that was given up, or why no worker can read it, whatever its `MAX_PNG_BYTES`."""
        try:
            return JobMessage.read(self.data, self.attributes, max_png_bytes=MOST_PNG_BYTES)
        except NewerSchema:
            return "it was written by a newer revision"
        except Malformed as malformed:
            return str(malformed).removesuffix(".")

    def summary(self) -> dict[str, Any]:
        """Return what a list shows of this letter."""
        told = self.attributes.get
        return {
            "id": self.id,
            "code": plain(self.code),
            "generation": _number(self.generation),
            "deliveryAttempt": _number(told("delivery_attempt") or told(f"{SOURCE}DeliveryCount", "")) or None,
            "givenUpAt": iso(_number(told("given_up_at", "")) or 0) or plain(self.published_at),
            "createdAt": iso(_number(told("created_at", "")) or 0),
            "replayedAt": iso(_number(told("replayed_at", "")) or 0),
            "messageId": self.message_id,
            "traceparent": plain(told("traceparent", "")),
            "digest": plain(told("digest", "")),
            "dataBytes": len(self.data),
        }

    def described(self) -> dict[str, Any]:
        """Return the summary, and the sizes of what is in the job."""
        job = self.job()
        if isinstance(job, str):
            return self.summary() | {"unreadable": plain(job)}
        sketch = job.sketch
        sizes = {"pngBytes": len(sketch.png), "svgCharacters": len(sketch.svg), "hintsCharacters": len(sketch.hints)}
        return self.summary() | sizes | {"variant": sketch.variant}


def _number(text: str) -> int | None:
    """Return a whole number, or None if it is implausible: anybody may have published the letter."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 13 else None
