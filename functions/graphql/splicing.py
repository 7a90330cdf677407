"""JSON into which pictures are spliced as base64, and the response that sends it piece by piece."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pybase64
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

Pieces = tuple[bytes, ...]

_GAP = b"\0"
"""Marks where a picture belongs. JSON holds no such byte: in strings it is escaped."""


def pieces(value: Any) -> Pieces:
    """Return the JSON of `value` in pieces, one for each of its `bytes`, as base64, and one before and after each.

    A picture is never part of a str, nor copied with the text around it.
    """
    pictures: list[bytes] = []

    def gap(picture: Any) -> orjson.Fragment:
        if not isinstance(picture, bytes):
            raise TypeError(f"{type(picture).__name__} is no JSON")
        pictures.append(pybase64.b64encode(picture))
        return orjson.Fragment(b'"' + _GAP + b'"')

    text = orjson.dumps(value, default=gap)
    if not pictures:
        return (text,)
    first, *others = text.split(_GAP)
    return (first, *(piece for pair in zip(pictures, others, strict=True) for piece in pair))


def encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return header fields as ASGI has them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


class PiecesResponse(Response):
    """Sends the pieces of a body, and keeps none that has been sent."""

    def __init__(self, pieces: Pieces, status_code: int, raw_headers: list[tuple[bytes, bytes]]) -> None:
        # What starlette does beside this would take a {__typename} 5 µs.
        self.status_code, self.background = status_code, None
        self.raw_headers = [*raw_headers, (b"content-length", b"%d" % sum(map(len, pieces)))]
        self._unsent = list(reversed(pieces))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while self._unsent:
            piece = self._unsent.pop()
            await send({"type": "http.response.body", "body": piece, "more_body": bool(self._unsent)})
