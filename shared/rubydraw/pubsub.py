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
        kind: int | str = "credentials"
        failure: SketchError
        try:
            async with asyncio.timeout(self._timeout_s):
                headers = [("content-type", "application/json"), *(await self._authorization.headers()).items()]
                kind, pause_s = "TimeoutError", FIRST_PAUSE_S
                while (kind := await self._attempt(topic, headers, body)) != 200:
                    if isinstance(kind, int) and kind not in _TRY_AGAIN:
                        raise _refusal(kind)
                    await asyncio.sleep(pause_s)
                    pause_s *= 2
                return
        except TimeoutError:
            failure = Unavailable("The job could not be handed over in time; try again.")
        except (Misconfigured, Unavailable) as error:
            failure = error
        if failure.retryable:
            logs.warning("publish.failed", kind=kind)
        else:
            logs.error("publish.refused", kind=kind)
        raise failure from None

    async def _attempt(self, topic: str, headers: list[tuple[str, str]], body: bytes) -> int | str:
        """Return the status of one attempt, or the name of what befell its connection."""
        # What httpx2 makes its requests with: cookies, redirects and the like are a quarter of a publish's CPU.
        import httpcore2  # which a cached answer does not pay for

        from rubydraw.http_pool import HttpPool

        if self._pool is None:
            self._pool = HttpPool(PUBLISHES_AT_ONCE)
        if topic not in self._addresses:
            self._addresses[topic] = httpcore2.URL(f"{self._url}/v1/{topic}:publish")
        try:
            response = await self._pool.request(
                "POST", self._addresses[topic], headers, body, timeout_s=ATTEMPT_TIMEOUT_S
            )
        except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError) as error:
            return type(error).__name__
        return response.status

    async def close(self) -> None:
        if self._pool:
            await self._pool.aclose()


def _refusal(status: int) -> SketchError:
    return Unavailable() if status >= 500 else Misconfigured()
