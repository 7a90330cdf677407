"""Server-sent events: the answers to one operation, in the distinct connections mode of `graphql-sse`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from leaving import until_gone
from rubydraw import logs
from rubydraw.errors import Stopping
from rubydraw.http.server import abort
from splicing import Pieces, text_of
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PING_S = 12.0
PIECE_BYTES = 16 * 1024
PIECE_S = 5.0
"""A client that does not take a piece in that time is dropped."""
HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
    "x-content-type-options": "nosniff",
}

PING = b":\n\n"
COMPLETE = b"event: complete\ndata:\n\n"


class EventStream(Response):
    """
    A `next` for each body (JSON, so without line breaks), then `complete`; comments keep the connection open meanwhile.

    A stream that ends without `complete`, because this instance is stopping, makes its client connect again. Nothing
    is held before the stream begins; when a client leaves, or does not read, everything is freed.
    """

    def __init__(self, bodies: AsyncGenerator[Pieces], headers: Mapping[str, str]) -> None:
        super().__init__(headers={**HEADERS, **headers})
        del self.headers["content-length"]
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream to its end, or until the client leaves, or does not read."""
        if await until_gone(self._tell(send), receive) is False:
            await abort(scope)

    async def _tell(self, send: Send) -> bool:
        """Return whether all of it has been read."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with aclosing(self._bodies):
                await _sent(send, PING)  # so that the client's connection is established
                while (event := await self._next_event(send)) is not None:
                    await _sent(send, *event)
            await _sent(send, COMPLETE)
        except Stopping:
            pass
        except TimeoutError:
            logs.warning("stream.not_read")
            return False
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return True

    async def _next_event(self, send: Send) -> Pieces | None:
        """Return the next event, or None after the last one; ping while there is none."""
        body = asyncio.ensure_future(anext(self._bodies, None))
        try:
            while not (await asyncio.wait((body,), timeout=PING_S))[0]:
                await _sent(send, PING)
            told = body.result()
        finally:
            if not body.done():
                body.cancel()
                await asyncio.wait((body,))
            del body  # its exception leads back to this frame
        if told is None:
            return None
        event = [*told]  # not joined: that would copy a picture
        event[0] = b"event: next\ndata: " + text_of(event[0])
        event[-1] = text_of(event[-1]) + b"\n\n"
        return tuple(event)


async def _sent(send: Send, *pieces: bytes | memoryview) -> None:
    """Send piece by piece; raise TimeoutError when one is not taken in time."""
    for text in map(text_of, pieces):
        for start in range(0, len(text), PIECE_BYTES):
            async with asyncio.timeout(PIECE_S):
                body = text[start : start + PIECE_BYTES]
                await send({"type": "http.response.body", "body": body, "more_body": True})
