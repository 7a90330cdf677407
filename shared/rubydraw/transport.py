"""What carries the SDK's requests, and the sketches in them: an HTTP client that does this and nothing more."""

from __future__ import annotations

from typing import Any

import httpcore2
import httpx2

from rubydraw import gemini_body
from rubydraw.network import Network

KEPT_S = 5.0
"""How long an idle connection is kept, as in httpx2."""


class HttpClient(httpx2.AsyncClient):
    """
    An httpx2 client as far as google-genai uses one to draw: one request, one whole answer; errors are httpx2's.

    Without the cookies, redirects, hooks and proxies of httpx2, and its connections on anyio, a job takes a fifth
    less CPU.
    """

    def __init__(self, max_connections: int) -> None:
        context = httpcore2.default_ssl_context()
        super().__init__(verify=context)
        self._pool = httpcore2.AsyncConnectionPool(
            context, max_connections=max_connections, keepalive_expiry=KEPT_S, network_backend=Network()
        )

    async def request(  # type: ignore[override]
        self, method: str, url: str, *, headers: dict[str, str], content: bytes | None, timeout: float | None
    ) -> httpx2.Response:
        """Send a request, with the sketch in place of its placeholder, and return the whole answer."""
        times = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), timeout)}
        fields, carried = [*headers.items()], gemini_body.in_place(content)
        if carried:
            fields.append(("content-length", str(carried.length_bytes)))
        body: Any = carried or content
        try:
            answer = await self._pool.request(method.upper(), url, headers=fields, content=body, extensions=times)
        except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError) as error:
            raise getattr(httpx2, type(error).__name__)(str(error)) from error
        return httpx2.Response(answer.status, headers=answer.headers, content=answer.content)

    async def aclose(self) -> None:
        await self._pool.aclose()
        await super().aclose()
