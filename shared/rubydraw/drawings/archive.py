"""Archive: an object store behind Redis, for drawings that were paid for and that Redis no longer has."""

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
"""After `FAILURES` failures in a row nothing calls the archive for `OPEN_S`; then one call probes it."""
MAX_BYTES = 32 * 1024 * 1024
FORMAT = b"rubydraw drawing 1 "

_SHA256 = re.compile(rb"[0-9a-f]{64}")
_T = TypeVar("_T")


class Archive:
    """
    A foreign or damaged object counts as absent. A slow or broken store costs the deadline and a log line, and a read
    then raises StoreUnavailable: nobody can say what is kept.

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
        """Return the drawing of a digest, checked against the hash in its object, or None."""
        data = await self._reached("read", lambda store: _read(store, f"drawings/{digest}"))
        drawing = unpacked(data, digest) if data else None
        if data and drawing is None:
            logs.warning("archive.damaged", digest=digest[:12])
        return drawing

    async def digest_of(self, image_sha256: str) -> str:
        """Return the digest of the drawing that has this picture, or `""`."""
        named = await self._reached("read", lambda store: _read(store, f"pictures/{image_sha256}"))
        return named.decode() if named and _SHA256.fullmatch(named) else ""

    def begin_keeping(self, digest: str, drawing: Drawing) -> None:
        """
        Write a drawing in the background, over any earlier one.

        One with fallback metadata is not written, but deletes the earlier one: else that came back after an hour.
        """
        if self._url:
            task = asyncio.create_task(self._keep(digest, drawing, after=self._writes.get(digest)))
            self._writes[digest] = task
            task.add_done_callback(lambda done: self._writes.pop(digest) if self._writes.get(digest) is done else None)

    async def written(self, digest: str) -> None:
        """Wait until the write of this drawing has succeeded or failed."""
        if writing := self._writes.get(digest):
            await asyncio.wait((writing,))

    async def _keep(self, digest: str, drawing: Drawing, *, after: asyncio.Task[None] | None) -> None:
        async def write(store: ObjectStore) -> None:
            if drawing.fallback_metadata:
                with suppress(FileNotFoundError):
                    await store.delete_async(f"drawings/{digest}")
                return
            await asyncio.gather(
                store.put_async(f"drawings/{digest}", packed(digest, drawing), use_multipart=False),
                store.put_async(f"pictures/{drawing.image_sha256}", digest.encode(), use_multipart=False),
            )

        if after:  # the write of an older drawing, which must not end last
            await asyncio.wait((after,))
        with suppress(StoreUnavailable):  # it is in Redis all the same
            await self._reached("write", write)

    async def _reached(self, doing: str, use: Callable[[ObjectStore], Awaitable[_T]]) -> _T | None:
        """Call `use` with the store, within the deadline; return None without a store. Raises StoreUnavailable."""
        if not self._url:
            return None
        if self._clock() < self._closed_until:
            raise StoreUnavailable
        if self._failures >= FAILURES:
            self._closed_until = self._clock() + OPEN_S  # this call probes; the others fail at once
        try:
            async with asyncio.timeout(DEADLINE_S):
                if self._store is None:
                    self._store = await asyncio.to_thread(opened, self._url, self._endpoint)
                answer = await use(self._store)
        except Exception as error:  # of many classes; their messages name addresses and accounts
            self._failures += 1
            if self._failures >= FAILURES:
                self._closed_until = self._clock() + OPEN_S
            logs.warning("archive.failed", doing=doing, kind=type(error).__name__)
            raise StoreUnavailable from None
        self._failures, self._closed_until = 0, 0.0
        return answer


def packed(digest: str, drawing: Drawing) -> bytes:
    """Return the content of one object: a line with format and SHA-256 of the rest, a line of JSON, the raw PNG."""
    words = asdict(drawing) | {"digest": digest}
    del words["image"], words["fallback_metadata"]
    rest = orjson.dumps(words) + b"\n" + drawing.image
    return FORMAT + hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


def unpacked(data: bytes, digest: str) -> Drawing | None:
    """Return the drawing in an object, or None if the object is cut, changed, foreign or of another digest."""
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
        return None  # written by a newer revision, since rolled back, with more fields; or by somebody else


async def _read(store: ObjectStore, path: str) -> bytes | None:
    try:
        found = await store.get_async(path)
        return bytes(await found.bytes_async()) if found.meta["size"] <= MAX_BYTES else b"too large"
    except FileNotFoundError:
        return None


def opened(url: str, endpoint: str) -> ObjectStore:
    """Return the store at an address; retries are off, because the deadline leaves no time for them."""
    from obstore import store  # slow to import, and a hit does not need it

    if url.startswith("file:"):
        return store.from_url(url, mkdir=True)
    once: Any = {"max_retries": 0, "retry_timeout": timedelta(seconds=DEADLINE_S)}
    client: Any = {"allow_http": endpoint.startswith("http:"), "timeout": timedelta(seconds=DEADLINE_S)}
    named = {"base_url" if url.startswith("gs:") else "endpoint": endpoint} if endpoint else {}
    config: Any = named
    return store.from_url(url, config=config, client_options=client, retry_config=once)
