"""Archive: drawings in an object store behind Redis, for what was paid for once and is forgotten there."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from rubydraw import logs
from rubydraw.drawing import Drawing
from rubydraw.errors import StoreUnavailable
from rubydraw.png import SIGNATURE

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from rubydraw.settings import Settings

DEADLINE_S = 1.0
FAILURES = 3
OPEN_S = 10.0
"""After so many failures in a row the archive is left alone for so long; then one call tries it."""
MAX_BYTES = 32 * 1024 * 1024
FORMAT = b"rubydraw drawing 1 "

_SHA256 = re.compile(rb"[0-9a-f]{64}")
_T = TypeVar("_T")


class Archive:
    """
    What is foreign or damaged is absent. What is slow or broken costs its deadline and a log line, and a read then
    raises StoreUnavailable: nobody can say what is kept.

    `drawings/<digest>` holds a drawing, `pictures/<SHA-256 of its picture>` the digest. Without an address nothing
    is kept. Credentials are the ambient ones of Google or Amazon.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url, self._endpoint, self._clock = settings.archive_url, settings.archive_endpoint, clock
        self._store: ObjectStore | None = None
        self._failures = 0
        self._closed_until = 0.0
        self._writes: dict[str, asyncio.Task[None]] = {}

    async def get(self, digest: str) -> Drawing | None:
        """Return the drawing of a digest, checked against its own hash."""
        data = await self._reached("read", lambda store: _read(store, f"drawings/{digest}"))
        drawing = unpacked(data, digest) if data else None
        if data and drawing is None:
            logs.warning("archive.damaged", digest=digest[:12])
        return drawing

    async def digest_of(self, image_sha256: str) -> str:
        """Return the digest of the drawing that has this picture, or nothing."""
        named = await self._reached("read", lambda store: _read(store, f"pictures/{image_sha256}"))
        return named.decode() if named and _SHA256.fullmatch(named) else ""

    def begin_keeping(self, digest: str, drawing: Drawing) -> None:
        """Write a drawing in the background, in place of what was there; one with fallback metadata is not worth it."""
        if self._url and not drawing.fallback_metadata:
            task = asyncio.create_task(self._keep(digest, drawing, after=self._writes.get(digest)))
            self._writes[digest] = task
            task.add_done_callback(lambda done: self._writes.pop(digest) if self._writes.get(digest) is done else None)

    async def kept(self, digest: str) -> None:
        """Wait until this drawing is written, or could not be in time."""
        if writing := self._writes.get(digest):
            await asyncio.wait((writing,))

    async def _keep(self, digest: str, drawing: Drawing, *, after: asyncio.Task[None] | None) -> None:
        async def write(store: ObjectStore) -> None:
            await asyncio.gather(
                store.put_async(f"drawings/{digest}", packed(digest, drawing), use_multipart=False),
                store.put_async(f"pictures/{drawing.image_sha256}", digest.encode(), use_multipart=False),
            )

        if after:  # an older drawing, which must not be written last
            await asyncio.wait((after,))
        with suppress(StoreUnavailable):  # it is in Redis all the same
            await self._reached("write", write)

    async def _reached(self, doing: str, use: Callable[[ObjectStore], Awaitable[_T]]) -> _T | None:
        """Do something with the store within its deadline; None where there is none. Raises StoreUnavailable."""
        if not self._url:
            return None
        if self._clock() < self._closed_until:
            raise StoreUnavailable
        if self._failures >= FAILURES:
            self._closed_until = self._clock() + OPEN_S  # one tries, the others go on without
        try:
            async with asyncio.timeout(DEADLINE_S):
                if self._store is None:
                    self._store = await asyncio.to_thread(opened, self._url, self._endpoint)
                answer = await use(self._store)
        except Exception as error:  # of many kinds; their texts name addresses and accounts
            self._failures += 1
            if self._failures >= FAILURES:
                self._closed_until = self._clock() + OPEN_S
            logs.warning("archive.failed", doing=doing, kind=type(error).__name__)
            raise StoreUnavailable from None
        self._failures, self._closed_until = 0, 0.0
        return answer


def packed(digest: str, drawing: Drawing) -> bytes:
    """Return one object: what it is and the SHA-256 of the rest, a line of JSON, and the raw PNG."""
    words = asdict(drawing) | {"digest": digest}
    del words["image"], words["fallback_metadata"]
    rest = orjson.dumps(words) + b"\n" + drawing.image
    return FORMAT + hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


def unpacked(data: bytes, digest: str) -> Drawing | None:
    """Return the drawing in an object, or None where it is cut, changed, foreign or of another digest."""
    head, _, rest = data.partition(b"\n")
    if head != FORMAT + hashlib.sha256(rest).hexdigest().encode():
        return None
    line, _, image = rest.partition(b"\n")
    try:
        words: dict[str, Any] = orjson.loads(line)
        if words.pop("digest") != digest or not image.startswith(SIGNATURE):
            return None
        return Drawing(image=image, **words | {"palette": tuple(words["palette"])})
    except (TypeError, ValueError, LookupError, AttributeError):
        return None  # a newer revision says more of a drawing, and was rolled back; or somebody else wrote the hash


async def _read(store: ObjectStore, path: str) -> bytes | None:
    try:
        found = await store.get_async(path)
        return bytes(await found.bytes_async()) if found.meta["size"] <= MAX_BYTES else b"too large"
    except FileNotFoundError:
        return None


def opened(url: str, endpoint: str) -> ObjectStore:
    """Return the store at an address; retries are off, for the deadline leaves no room."""
    from obstore import store  # slow to import, and a hit does not need it

    if url.startswith("file:"):
        return store.from_url(url, mkdir=True)
    once: Any = {"max_retries": 0, "retry_timeout": timedelta(seconds=DEADLINE_S)}
    client: Any = {"allow_http": endpoint.startswith("http:"), "timeout": timedelta(seconds=DEADLINE_S)}
    named = {"base_url" if url.startswith("gs:") else "endpoint": endpoint} if endpoint else {}
    config: Any = named
    return store.from_url(url, config=config, client_options=client, retry_config=once)
