"""Sends a sketch and takes the answer past the SDK, which sees only a request without parts and an empty answer.

The SDK still sets address and authorization, and raises errors. Given the picture, it would hold three more copies
while Gemini draws, as base64 in a dict, as JSON and as the client's request: 4.5 MiB a call with a sketch of 1 MB.
Here the sketch is encoded while it is sent, and held alone: 1.2 MiB. What the SDK does with parts and with an answer,
looking up each field in pydantic models, would take a sixth of a job's CPU.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import pybase64

PIECE_BYTES = 96 * 1024
"""How much is encoded and sent at a time; a multiple of three, so that there is no padding between two pieces."""

_NO_PARTS = b'"parts": []'  # as the SDK writes them
_HEAD, _BETWEEN, _TAIL = b'"parts": [{"inlineData": {"data": "', b'", "mimeType": "image/png"}}, ', b"]"
_exchange: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


class Exchange:
    """
    What the SDK's request for the current task carries, and the answer to it.

    `begun`: sending has begun, on an open connection, so the call may be paid for. `answer`: the body of a 200 answer.
    """

    def __init__(self, png: bytes, text: str) -> None:
        self._png, self._text = png, text
        self.begun, self.answer = False, b""

    def body(self, content: bytes) -> Body:
        """
        Return `content`, the body that the SDK wrote, with picture and text as its parts.

        Raises ValueError unless `content` has empty parts exactly once; the call is not made, and so not paid for.
        """
        head, tail = content.split(_NO_PARTS)
        text = json.dumps({"text": self._text}).encode()
        return Body(self, head + _HEAD, self._png, _BETWEEN + text + _TAIL + tail)

    def clear(self) -> None:
        """Release both pictures: a cancelled timer keeps its task's context, and so this exchange, for a minute."""
        self._png = self.answer = b""


@contextmanager
def exchanging(png: bytes, text: str) -> Iterator[Exchange]:
    """Make the current task's request carry `png` and `text`, and withhold its answer from the SDK."""
    exchange = Exchange(png, text)
    token = _exchange.set(exchange)
    try:
        yield exchange
    finally:
        _exchange.reset(token)
        exchange.clear()


def current() -> Exchange | None:
    """Return the exchange of the current task; None if the SDK is used for anything but a drawing."""
    return _exchange.get()


class Body:
    """A request's body that is encoded while it is sent."""

    def __init__(self, exchange: Exchange, head: bytes, png: bytes, tail: bytes) -> None:
        self._exchange, self._head, self._png, self._tail = exchange, head, memoryview(png), tail
        self.length_bytes = len(head) + (len(png) + 2) // 3 * 4 + len(tail)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield few pieces, because each one is a write to the socket."""
        self._exchange.begun = True
        last = max(len(self._png) - 1, 0) // PIECE_BYTES * PIECE_BYTES
        for at in range(0, last + 1, PIECE_BYTES):
            piece = pybase64.urlsafe_b64encode(self._png[at : at + PIECE_BYTES])
            yield b"".join((b"" if at else self._head, piece, b"" if at < last else self._tail))
