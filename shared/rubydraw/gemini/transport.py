"""The HTTP client that carries the SDK's requests, and the sketches in them, and does nothing more."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import httpcore2
import httpx2
import orjson

from rubydraw.gemini.exchange import current
from rubydraw.http.pool import HttpPool, tls_context

MAX_ERROR_BYTES = 64 * 1024
"""A larger body is no error of Gemini, and the SDK would parse it on the event loop."""


class HttpClient(httpx2.AsyncClient):
    """
    The part of an httpx2 client that google-genai needs to draw: one request, one whole answer; httpx2's errors.

    Without the cookies, redirects, hooks and proxies of httpx2, and its connections on anyio, a job takes a fifth
    less CPU.
    """

    def __init__(self, max_connections: int) -> None:
        super().__init__(verify=tls_context())
        self._pool = HttpPool(max_connections)

    async def request(  # type: ignore[override]
        self, method: str, url: str, *, headers: dict[str, str], content: bytes | None, timeout: float | None
    ) -> httpx2.Response:
        """Send a request and return the whole answer; in an exchange, keep the body of a 200 there and return `{}`."""
        exchange = current()
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
    Return an error with its status, its Retry-After, and its body if that is uncompressed JSON, else `{}`.

    Its Content-Encoding is left out, so that nothing is decompressed, which could fail: only the status matters.
    """
    headers = [(name, value) for name, value in error.headers if name.lower() == b"retry-after"]
    body = b"{}"
    if len(error.content) <= MAX_ERROR_BYTES:
        with suppress(orjson.JSONDecodeError, orjson.JSONEncodeError):  # the latter: nested too deeply
            body = orjson.dumps(orjson.loads(error.content))
    return httpx2.Response(error.status, headers=headers, content=body)
