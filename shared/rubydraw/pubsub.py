"""Pub/Sub over REST: one message out (its reference page "projects.topics.publish")."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

import orjson
import pybase64

from rubydraw import logs
from rubydraw.authorization import Authorization
from rubydraw.errors import Misconfigured, SketchError, Unavailable

if TYPE_CHECKING:
    from httpcore2 import URL

    from rubydraw.http_pool import HttpPool

FIRST_PAUSE_S = 0.1
ATTEMPT_TIMEOUT_S = 3.0
PUBLISHES_AT_ONCE = 50
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


class Publisher:
    """
    Publishes to any topic, retrying for `timeout_s` seconds in all.

    With an `http:` address no access token is sent; everything else is the same. A publish that failed may have
    arrived all the same.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._url, self._timeout_s = url, timeout_s
        self._pool: HttpPool | None = None
        self._addresses: dict[str, URL] = {}
        self._authorization = Authorization(url)

    async def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> None:
        """Hand over one message; raise Unavailable, or Misconfigured where no retry can help."""
        encoded = {"data": pybase64.b64encode_as_string(data), "attributes": dict(attributes)}
        body = orjson.dumps({"messages": [encoded]})
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._until_taken(topic, body)
        except TimeoutError:
            raise Unavailable("The job could not be handed over in time; try again.") from None

    async def _until_taken(self, topic: str, body: bytes) -> None:
        pause_s = FIRST_PAUSE_S
        while (status := await self._attempt(topic, body)) != 200:
            if status not in _TRY_AGAIN:
                logs.error("publish.refused", status=status)
                raise _refusal(status)
            await asyncio.sleep(pause_s)
            pause_s *= 2

    async def _attempt(self, topic: str, body: bytes) -> int:
        """Return the status of one attempt; 503 stands for a connection that failed."""
        # What httpx2 makes its requests with: cookies, redirects and the like are a quarter of a publish's CPU.
        import httpcore2  # which a cached answer does not pay for

        from rubydraw.http_pool import HttpPool

        if self._pool is None:
            self._pool = HttpPool(PUBLISHES_AT_ONCE)
        if topic not in self._addresses:
            self._addresses[topic] = httpcore2.URL(f"{self._url}/v1/{topic}:publish")
        headers = [("content-type", "application/json"), *(await self._authorization.headers()).items()]
        try:
            response = await self._pool.request(
                "POST", self._addresses[topic], headers, body, timeout_s=ATTEMPT_TIMEOUT_S
            )
        except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError):
            return 503
        return response.status

    async def close(self) -> None:
        if self._pool:
            await self._pool.aclose()


def _refusal(status: int) -> SketchError:
    return Unavailable() if status >= 500 else Misconfigured()
