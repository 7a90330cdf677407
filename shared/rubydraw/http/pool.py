"""A pool of HTTP connections to one server, which reuses the one used last first.

httpcore2's own pool checks each of its connections twice per request, and asks the system about the idle ones: with 60
of them a request takes twice as long, with 250 five times.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections import deque
from typing import Any

import httpcore2

from rubydraw.http.network import Network

KEPT_S = 5.0
"""How long an idle connection is kept, as in httpx2."""


@functools.cache
def tls_context() -> ssl.SSLContext:
    """Return this process's TLS context: loading CA certificates takes 40 ms, which httpcore2 does per connection."""
    return httpcore2.default_ssl_context()


class HttpPool:
    """At most `max_connections` at once; a request waits if none is free. Errors are httpcore2's."""

    def __init__(self, max_connections: int) -> None:
        self._free = asyncio.Semaphore(max_connections)
        self._context: ssl.SSLContext | None = None
        self._network = Network()
        self._idle: deque[httpcore2.AsyncHTTPConnection] = deque()

    async def request(
        self, method: str, url: httpcore2.URL, headers: list[tuple[str, str]], body: Any, *, timeout_s: float | None
    ) -> httpcore2.Response:
        """Send a request and return its whole answer; each connect, read and write may take `timeout_s` at most."""
        if b":" in url.host:
            headers = [("host", _in_brackets(url)), *headers]
        times = {"timeout": dict.fromkeys(("connect", "read", "write"), timeout_s)}
        async with self._free:
            connection = await self._kept() or await self._new(url.origin)
            try:
                return await connection.request(method, url, headers=headers, content=body, extensions=times)
            finally:
                if connection.is_available():
                    await self._keep(connection)

    async def aclose(self) -> None:
        while self._idle:
            await self._idle.pop().aclose()

    async def _kept(self) -> httpcore2.AsyncHTTPConnection | None:
        """Return the connection that was used last, if it is still good; close those that were idle for too long."""
        while self._idle and self._idle[0].has_expired():
            await self._idle.popleft().aclose()
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return None

    async def _keep(self, connection: httpcore2.AsyncHTTPConnection) -> None:
        """Keep the connection, unless data follows the answer: it would be taken for the next request's answer."""
        http: Any = connection._connection  # httpcore2 has no public access to the data left in its parser
        if http._h11_state.trailing_data[0]:
            await connection.aclose()
        else:
            self._idle.append(connection)

    async def _new(self, origin: httpcore2.Origin) -> httpcore2.AsyncHTTPConnection:
        if origin.scheme == b"https" and self._context is None:
            self._context = await asyncio.to_thread(tls_context)
        return httpcore2.AsyncHTTPConnection(
            origin, self._context, keepalive_expiry=KEPT_S, network_backend=self._network
        )


def _in_brackets(url: httpcore2.URL) -> str:
    """Return the Host header for an IPv6 address, whose brackets httpcore2 leaves out."""
    given = url.port and url.port != {b"http": 80, b"https": 443}[url.scheme]
    return f"[{url.host.decode()}]" + (f":{url.port}" if given else "")
