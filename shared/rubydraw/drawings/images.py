"""Pictures by their own hash: the hash leads to a digest, and the digest to the one copy of the drawing."""

from __future__ import annotations

import hashlib
import re

from rubydraw import keys
from rubydraw.drawing import Drawing
from rubydraw.drawings.archive import Archive
from rubydraw.drawings.results import Results
from rubydraw.errors import StoreUnavailable

_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_image_hash(text: str) -> bool:
    """Whether `text` is a SHA-256 in lower-case hex: nothing else is ever put into a key."""
    return _SHA256.fullmatch(text) is not None


class Images:
    """The pictures of kept drawings, in Redis or the archive."""

    def __init__(self, results: Results, archive: Archive) -> None:
        self._results, self._archive = results, archive

    async def name(self, digest: str, image_sha256: str) -> str:
        """
        Return the hash by which `find` finds the picture of a drawing from now on.

        `image_sha256`: that hash, or "" if an older revision stored the drawing. Its key is written each time the hash
        is handed out, so that it neither expires nor is evicted before the drawing. Raises StoreUnavailable.
        """
        if not image_sha256:  # kept by an older revision
            drawing = await self._results.get(digest)
            image_sha256 = drawing.image_sha256 if drawing else "0" * 64  # the drawing is gone: find nothing
        key = keys.image(image_sha256)
        await self._results.store.command("SET", key, digest, "PX", keys.RESULT_MS)
        return image_sha256

    async def find(self, image_sha256: str) -> bytes | None:
        """Return the picture with this hash; raise StoreUnavailable where nobody can say whether it is kept."""
        away: StoreUnavailable | None = None
        try:
            if image := _with_hash(await self._in_redis(image_sha256), image_sha256):
                return image
        except StoreUnavailable as error:
            away = error
        digest = await self._archive.digest_of(image_sha256)
        image = _with_hash(await self._archive.get(digest) if digest else None, image_sha256)
        if image is None and away:
            raise away
        return image

    async def _in_redis(self, image_sha256: str) -> Drawing | None:
        named = await self._results.store.command("GET", keys.image(image_sha256))
        return await self._results.get(named.decode(errors="replace")) if named else None


def _with_hash(drawing: Drawing | None, image_sha256: str) -> bytes | None:
    """Return the picture of `drawing`, unless the drawing has been replaced since and has another one."""
    kept = drawing is not None and hashlib.sha256(drawing.image).hexdigest() == image_sha256
    return drawing.image if drawing and kept else None
