"""One sketch out, one answer in, past the SDK: what it addresses, authorizes and judges is a request without parts.

Given the picture itself, the SDK holds it three times more while Gemini draws, as base64 in a dict, as JSON and as
the client's request: 4.5 MiB a call with a sketch of 1 MB. Encoded while it is sent, the sketch alone is held: 1.2.
What it makes of parts and of an answer, each field looked up in pydantic models, takes a sixth of a job's CPU.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import pybase64

PIECE_BYTES = 96 * 1024
"""Encoded and sent at a time; a multiple of three, so that no padding stands between two."""

_NO_PARTS = b'"parts": []'  # as the SDK writes them
_HEAD, _BETWEEN, _TAIL = b'"parts": [{"inlineData": {"data": "', b'", "mimeType": "image/png"}}, ', b"]"
_exchange: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


class Exchange:
    """
    What the request that the SDK makes for a task is to carry, and what came of it.

    `begun`: it has begun to be sent, on a connection that is open, and may be paid for. `answer`: the body of what
    came back with 200.
    """

    def __init__(self, png: bytes, text: str) -> None:
        self._png, self._text = png, text
        self.begun, self.answer = False, b""

    def body(self, content: bytes) -> Body:
        """
        Return `content`, as the SDK writes it, with picture and text for parts.

        Raises ValueError where it does not have empty parts once: then no call is paid for.
        """
        head, tail = content.split(_NO_PARTS)
        text = json.dumps({"text": self._text}).encode()
        return Body(self, head + _HEAD, self._png, _BETWEEN + text + _TAIL + tail)

    def clear(self) -> None:
        """Let go of both pictures: a timer that was cancelled keeps its task's context, and so this, for a minute."""
        self._png = self.answer = b""


@contextmanager
def exchanging(png: bytes, text: str) -> Iterator[Exchange]:
    """Have the request that the current task makes carry `png` and `text`, and keep its answer from the SDK."""
    exchange = Exchange(png, text)
    token = _exchange.set(exchange)
    try:
        yield exchange
    finally:
        _exchange.reset(token)
        exchange.clear()


def current() -> Exchange | None:
    """Return the exchange of the current task; None where the SDK is asked for something else than a drawing."""
    return _exchange.get()


class Body:
    """A request's body that is encoded while it is sent."""

    def __init__(self, exchange: Exchange, head: bytes, png: bytes, tail: bytes) -> None:
        self._exchange, self._head, self._png, self._tail = exchange, head, memoryview(png), tail
        self.length_bytes = len(head) + (len(png) + 2) // 3 * 4 + len(tail)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield few pieces: each is a write to the socket."""
        self._exchange.begun = True
        last = max(len(self._png) - 1, 0) // PIECE_BYTES * PIECE_BYTES
        for at in range(0, last + 1, PIECE_BYTES):
            piece = pybase64.urlsafe_b64encode(self._png[at : at + PIECE_BYTES])
            yield b"".join((b"" if at else self._head, piece, b"" if at < last else self._tail))
