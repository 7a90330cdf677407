"""The sketch on its way to Gemini: the SDK writes the request around a placeholder, the picture is sent in its place.

Given the picture itself, the SDK holds it three times more while Gemini draws, as base64 in a dict, as JSON and as
the client's request: 4.5 MiB a call with a sketch of 1 MB. Encoded while it is sent, the sketch alone is held: 1.2.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import httpx2
import pybase64

PLACEHOLDER = "the sketch, piece by piece"
PIECE_BYTES = 96 * 1024
"""Encoded and sent at a time; a multiple of three, so that no padding stands between two."""

# As the SDK writes a part of text. Quotes in the user's words are escaped in JSON: none of theirs can look like it.
_PART = json.dumps({"text": PLACEHOLDER}).encode()
_HEAD, _TAIL = b'{"inlineData": {"data": "', b'", "mimeType": "image/png"}}'
_png: ContextVar[bytes] = ContextVar("png")


@contextmanager
def sent(png: bytes) -> Iterator[None]:
    """Have the request that the current task makes carry `png` in place of the placeholder."""
    token = _png.set(png)
    try:
        yield
    finally:
        _png.reset(token)


async def put_in_place(request: httpx2.Request) -> None:
    """Exchange the placeholder for the sketch; a hook of the HTTP client. ValueError where it does not stand once."""
    if (png := _png.get(b"")) and not isinstance(request.stream, _Body):  # which a redirect sends again as it is
        head, tail = request.content.split(_PART)
        body = _Body(head + _HEAD, png, _TAIL + tail)
        request.stream = body
        request.headers["content-length"] = str(body.length_bytes)


class _Body(httpx2.AsyncByteStream):
    def __init__(self, head: bytes, png: bytes, tail: bytes) -> None:
        self._head, self._png, self._tail = head, memoryview(png), tail
        self.length_bytes = len(head) + (len(png) + 2) // 3 * 4 + len(tail)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield few pieces: each is a write to the socket."""
        last = max(len(self._png) - 1, 0) // PIECE_BYTES * PIECE_BYTES
        for at in range(0, last + 1, PIECE_BYTES):
            piece = pybase64.urlsafe_b64encode(self._png[at : at + PIECE_BYTES])
            yield b"".join((b"" if at else self._head, piece, b"" if at < last else self._tail))
