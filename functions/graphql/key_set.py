"""The public keys of a token issuer, fetched when needed and kept: a slow or absent key server stops nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

import orjson
from rubydraw import logs
from rubydraw.errors import Unavailable

if TYPE_CHECKING:
    from jwt import PyJWK

ALGORITHMS = frozenset({"RS256", "ES256"})
FETCH_S = 3.0
MAX_BYTES = 256 * 1024
FRESH_S = 10 * 60.0
"""Older keys are fetched again in the background, and used meanwhile."""
STALE_S = 60 * 60.0
"""Keys older than this are used only if the fetch fails: an idle instance must not trust one withdrawn long ago."""
AGAIN_S = 60.0
"""The least time between two fetches: made-up key ids must not make us call the key server each time."""
FIRST_AGAIN_S = 5.0
"""The same, while there are no keys at all."""


class KeySet:
    """A JSON Web Key Set (RFC 7517); only its signing keys for one of ALGORITHMS are used."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url, self._clock = url, clock
        self._keys: dict[str, PyJWK] = {}
        self._fetched_s = self._next_s = float("-inf")
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: Any) -> PyJWK | None:
        """Return the key with this id, None if the issuer has none; raise Unavailable if the last fetch failed."""
        if not isinstance(kid, str):
            return None
        age_s = self._clock() - self._fetched_s
        if kid not in self._keys or age_s >= STALE_S:
            await self._fetch_once()
        elif age_s >= FRESH_S:
            self._begin()
        if kid not in self._keys and self._failed:
            raise Unavailable(retry_after_s=max(self._next_s - self._clock(), 1))
        return self._keys.get(kid)

    async def _fetch_once(self) -> None:
        """Begin a fetch if one is due, and wait for the one under way; a caller who gives up does not cancel it."""
        self._begin()
        if self._fetching:
            await asyncio.shield(self._fetching)

    def _begin(self) -> None:
        now_s = self._clock()
        if (self._fetching and not self._fetching.done()) or now_s < self._next_s:
            return
        self._next_s = now_s + (AGAIN_S if self._keys else FIRST_AGAIN_S)
        self._fetching = asyncio.create_task(self._fetch(), context=Context())  # belongs to no request

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(FETCH_S):
                keys = _usable(await _body(self._url))
        except Exception as error:  # a key server can cause any of them, and its answer may be in their texts
            self._failed = True
            logs.warning("access.no_key_set", kind=type(error).__name__)
        else:
            self._keys, self._failed, self._fetched_s = keys, False, self._clock()


async def _body(url: str) -> bytes:
    """Return the key server's answer; raise ValueError unless it is a 200 of at most MAX_BYTES; follow no redirect."""
    async with await asyncio.to_thread(_client) as client, client.stream("GET", url) as response:
        if response.status_code != 200:
            raise ValueError("no key set")
        body = b""
        async for piece in response.aiter_bytes(MAX_BYTES):
            body += piece
            if len(body) > MAX_BYTES:
                raise ValueError("too long for a key set")
        return body


def _client() -> Any:
    """Return an HTTP client; called in a thread, as loading it and its certificates takes a tenth of a second."""
    import httpx2

    return httpx2.AsyncClient(timeout=FETCH_S, trust_env=False)


def _usable(body: bytes) -> dict[str, PyJWK]:
    """Return the usable keys by their id; raise if there is none."""
    import jwt

    keys = {}
    for each in orjson.loads(body)["keys"]:
        try:
            key = jwt.PyJWK(each)
        except Exception:  # noqa: S112 - whatever PyJWT raises for an odd key, the others are good
            continue
        if isinstance(key.key_id, str) and key.algorithm_name in ALGORITHMS and key.public_key_use in (None, "sig"):
            keys[key.key_id] = key
    if not keys:
        raise ValueError("no usable key")
    return keys
