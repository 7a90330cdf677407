"""JSON into which pictures are spliced as base64, and the response that sends it piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pybase64
from rubydraw import logs
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

Pieces = tuple[bytes, ...]

PIECE_BYTES = 512 * 1024
PIECE_S = 60.0
"""
A client that does not take a piece in that time is dropped: else the rest would be held for as long as it likes. With
pieces half as large a hit takes 6 to 9 % more CPU.
"""

_GAP = b"\0"
"""Marks where a picture belongs. JSON never holds this byte: strings escape it."""


def pieces(value: Any) -> Pieces:
    """Return the JSON of `value` in pieces: some for each of its `bytes`, as base64, and one before and after each.

    A picture is never part of a str, nor copied with the text around it; one that stands in several places is encoded
    once.
    """
    pictures: list[list[bytes]] = []
    known: dict[int, list[bytes]] = {}

    def gap(picture: Any) -> orjson.Fragment:
        if not isinstance(picture, bytes):
            raise TypeError(f"{type(picture).__name__} is no JSON")
        if id(picture) not in known:
            known[id(picture)] = _base64(picture)
        pictures.append(known[id(picture)])
        return orjson.Fragment(b'"' + _GAP + b'"')

    text = orjson.dumps(value, default=gap)
    if not pictures:
        return (text,)
    first, *others = text.split(_GAP)
    return (first, *(piece for picture, after in zip(pictures, others, strict=True) for piece in (*picture, after)))


def _base64(picture: bytes) -> list[bytes]:
    """Encode the bytes of one piece at a time: cutting the base64 afterwards would copy it."""
    step = PIECE_BYTES // 4 * 3
    view = memoryview(picture)
    return [pybase64.b64encode(view[at : at + step]) for at in range(0, len(picture), step)]


def encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return header fields in the form that ASGI asks for."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


class PiecesResponse(Response):
    """Sends the pieces of a body, and keeps none that has been sent."""

    def __init__(self, pieces: Pieces, status_code: int, raw_headers: list[tuple[bytes, bytes]]) -> None:
        # starlette's own constructor would add 5 µs to a {__typename}.
        self.status_code, self.background = status_code, None
        self.raw_headers = [*raw_headers, (b"content-length", b"%d" % sum(map(len, pieces)))]
        self._unsent = list(reversed(pieces))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if len(self._unsent) == 1 and len(self._unsent[0]) <= PIECE_BYTES:
            await send(self._next())  # this does not wait for the client; a timer would add 6 µs to a {__typename}
            return
        try:
            while self._unsent:
                async with asyncio.timeout(PIECE_S):
                    await send(self._next())
        except TimeoutError:
            logs.warning("answer.not_read")

    def _next(self) -> Message:
        piece = self._unsent.pop()
        if len(piece) > PIECE_BYTES:
            self._unsent += [piece[at : at + PIECE_BYTES] for at in reversed(range(0, len(piece), PIECE_BYTES))]
            piece = self._unsent.pop()
        return {"type": "http.response.body", "body": piece, "more_body": bool(self._unsent)}
