"""The server's side of a connection: uvicorn's, and three things more that a client must not be able to do."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

_ABORT = "rubydraw.abort"


class ServerProtocol(HttpToolsProtocol):
    """
    A client that leaves ends its request even if it has sent another one behind it, of which alone uvicorn would tell.

    Trailer fields, which uvicorn appends to the header fields, are left out: nobody in between has checked them (RFC
    9110, 6.5.1). `abort` ends a connection at once; uvicorn's own way waits until the client has read what is sent.
    """

    _running: RequestResponseCycle | None = None

    def on_headers_complete(self) -> None:
        self.scope["extensions"] = {_ABORT: self.transport.abort}  # type: ignore[dict-item]
        super().on_headers_complete()
        self.headers = []

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._running and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)


async def abort(scope: Scope) -> None:
    """End the connection of a request, with all that is still to be sent to it."""
    if drop := scope.get("extensions", {}).get(_ABORT):
        drop()
        await asyncio.sleep(0)  # else the server would log that the answer is incomplete: now it knows
