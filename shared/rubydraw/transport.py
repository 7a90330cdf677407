"""What carries the SDK's requests, and the sketches in them: an HTTP client that does this and nothing more."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import httpcore2
import httpx2
import orjson

from rubydraw import gemini_exchange
from rubydraw.http_pool import HttpPool, tls_context

MAX_ERROR_BYTES = 64 * 1024
"""Larger is no error of Gemini's, and the SDK would read it on the loop."""


class HttpClient(httpx2.AsyncClient):
    """
    An httpx2 client as far as google-genai uses one to draw: one request, one whole answer; errors are httpx2's.

    Without the cookies, redirects, hooks and proxies of httpx2, and its connections on anyio, a job takes a fifth
    less CPU.
    """

    def __init__(self, max_connections: int) -> None:
        super().__init__(verify=tls_context())
        self._pool = HttpPool(max_connections)

    async def request(  # type: ignore[override]
        self, method: str, url: str, *, headers: dict[str, str], content: bytes | None, timeout: float | None
    ) -> httpx2.Response:
        """Send a request and return the whole answer; in an exchange, which keeps its drawing, an empty one."""
        exchange = gemini_exchange.current()
        fields: list[tuple[str, str]] = [*headers.items()]
        body: Any = content
        if exchange and content:
            body = exchange.body(content)
            fields += [("content-length", str(body.length_bytes)), ("accept-encoding", "identity")]
        try:
            answer = await self._pool.request(method.upper(), httpcore2.URL(url), fields, body, timeout_s=timeout)
        except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError) as error:
            raise getattr(httpx2, type(error).__name__)(str(error)) from error
        if answer.status != httpx2.codes.OK:
            return _readable(answer)
        if exchange:
            exchange.answer = answer.content
            return httpx2.Response(httpx2.codes.OK, content=b"{}")
        return httpx2.Response(httpx2.codes.OK, headers=answer.headers, content=answer.content)

    async def aclose(self) -> None:
        await self._pool.aclose()
        await super().aclose()


def _readable(error: httpcore2.Response) -> httpx2.Response:
    """
    Return an error with its status, its Retry-After, and its body where that is JSON as Gemini sends it, else `{}`.

    Without a Content-Encoding nothing is unpacked, and there is nothing to stumble over: the status counts.
    """
    headers = [(name, value) for name, value in error.headers if name.lower() == b"retry-after"]
    body = b"{}"
    if len(error.content) <= MAX_ERROR_BYTES:
        with suppress(orjson.JSONDecodeError, orjson.JSONEncodeError):  # the latter: nested too deeply
            body = orjson.dumps(orjson.loads(error.content))
    return httpx2.Response(error.status, headers=headers, content=body)
