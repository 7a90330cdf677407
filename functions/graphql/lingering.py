"""The answer to a body that is too large: discards the rest for a while, so that the client reads the answer."""

from __future__ import annotations

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

LINGER_S = 5.0
LINGER_BYTES = 24 * 1024 * 1024
"""A connection that is closed with bytes unread is reset, and the reset overtakes the answer (RFC 9112, 9.6)."""


class LingeringResponse(Response):
    """Is sent whole at once; closes the connection when the rest of the body has come, or is too large or too slow."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        try:
            async with asyncio.timeout(LINGER_S):
                await _thrown_away(receive)
        except TimeoutError:
            pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _thrown_away(receive: Receive) -> None:
    left_bytes = LINGER_BYTES
    while left_bytes > 0:
        message = await receive()
        if not message.get("more_body"):  # the end of the body, or the client has left
            return
        left_bytes -= len(message["body"])
