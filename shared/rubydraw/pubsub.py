"""Publishes one message to Pub/Sub over REST (its reference page "projects.topics.publish")."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
import pybase64

from rubydraw import logs
from rubydraw.authorization import Authorization
from rubydraw.errors import Misconfigured, SketchError, Unavailable

if TYPE_CHECKING:
    from httpcore2 import URL

    from rubydraw.http.pool import HttpPool

FIRST_PAUSE_S = 0.1
ATTEMPT_TIMEOUT_S = 3.0
PUBLISHES_AT_ONCE = 50
MAX_ANSWER_BYTES = 4096
"""Pub/Sub answers with the id of the one message, some 16 digits."""
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(slots=True)
class _Met:
    """The last failure of a publish: a status, the name of an error, or `credentials` as long as it has none."""

    last: int | str = "credentials"


class Publisher:
    """
    Publishes to any topic, retrying for `timeout_s` seconds in all.

    With an `http:` address no access token is sent; everything else is the same. The message of a
    failed publish may still have arrived.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._url, self._timeout_s = url, timeout_s
        self._pool: HttpPool | None = None
        self._addresses: dict[str, URL] = {}
        self._authorization = Authorization(url)

    async def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> None:
        """Publish one message; raise Unavailable, or Misconfigured if no retry can help."""
        encoded = {"data": pybase64.b64encode_as_string(data), "attributes": dict(attributes)}
        body = orjson.dumps({"messages": [encoded]})
        del data, encoded  # else a message of 1 MB would hold 3.5 MiB for as long as Pub/Sub is silent, instead of 1.3
        met = _Met()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._until_taken(topic, body, met)
        except TimeoutError:
            raise _failed(Unavailable("The job could not be queued in time; try again."), met) from None
        except (Misconfigured, Unavailable) as failure:
            raise _failed(failure, met) from None

    async def _until_taken(self, topic: str, body: bytes, met: _Met) -> None:
        headers = [("content-type", "application/json"), *(await self._authorization.headers()).items()]
        met.last, pause_s = "TimeoutError", FIRST_PAUSE_S
        while (status := await self._attempt(topic, headers, body)) != 200:
            met.last = status
            if isinstance(status, int) and status not in _TRY_AGAIN:
                raise _refusal(status)
            await asyncio.sleep(pause_s)
            pause_s *= 2

    async def _attempt(self, topic: str, headers: list[tuple[str, str]], body: bytes) -> int | str:
        """Return the status of one attempt, or the name of what went wrong."""
        # The layer below httpx2, whose cookies, redirects and the like would take a quarter of a publish's CPU.
        import httpcore2  # here, so that a cached answer does not pay for it

        from rubydraw.http.pool import HttpPool

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
        return response.status if response.status != 200 or _has_id(response.content) else "NoMessageId"

    async def close(self) -> None:
        if self._pool:
            await self._pool.aclose()


def _has_id(body: bytes) -> bool:
    """Whether Pub/Sub took the message: a proxy or a catch-all page answers 200, too."""
    with suppress(orjson.JSONDecodeError):
        match orjson.loads(body[:MAX_ANSWER_BYTES]):
            case {"messageIds": [str(), *_]}:
                return True
    return False


def _failed(failure: SketchError, met: _Met) -> SketchError:
    """Log that a message was not published; return the failure, to be raised."""
    if failure.retryable:
        logs.warning("publish.failed", kind=met.last)
    else:
        logs.error("publish.refused", kind=met.last)
    return failure


def _refusal(status: int) -> SketchError:
    return Unavailable() if status >= 500 else Misconfigured()
