"""A picture from Gemini: recognised by its bytes, limited in size and converted to PNG."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING

from rubydraw.errors import BadAnswer
from rubydraw.png import MAX_PIXELS, MAX_SIDE_PX, SIGNATURE, BadPng, read_png

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PICTURE_BYTES = 16 * 1024 * 1024
"""Limit as received and as PNG: a cloud function's response has at most 32 MB, and base64 adds a third."""
MIN_SIDE_PX = 16
MAX_SCANS = 100
"""Scans of a progressive JPEG, which has about ten: each scan is a pass over all pixels, however few bytes it has."""
CONVERSIONS_AT_ONCE = 2
"""A conversion holds its pixels in memory (160 MB at the worst), and there is one core."""

_conversions = asyncio.Semaphore(CONVERSIONS_AT_ONCE)


async def to_png(data: bytes) -> bytes:
    """Return `data` as a checked PNG of 16 to 8192 pixels a side; raise BadAnswer. Its label is ignored: it may lie."""
    if len(data) > MAX_PICTURE_BYTES:
        raise BadAnswer
    if not data.startswith(SIGNATURE):
        async with _conversions:
            data = await asyncio.to_thread(_converted, data)
        if len(data) > MAX_PICTURE_BYTES:
            raise BadAnswer
    try:
        png = read_png(data)
    except BadPng:
        raise BadAnswer from None
    if min(png.width_px, png.height_px) < MIN_SIDE_PX:
        raise BadAnswer
    return png.data


def _converted(data: bytes) -> bytes:
    """Decode JPEG or WebP and encode it as PNG."""
    from PIL import Image  # slow to import, and needed for few answers

    if data.startswith(b"\xff\xd8") and data.count(b"\xff\xda") > MAX_SCANS:
        raise BadAnswer
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "WEBP")) as picture:
            _check_size(picture)
            kept = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise BadAnswer from None
    png = io.BytesIO()
    kept.save(png, "PNG", compress_level=6)
    return png.getvalue()


def _check_size(picture: Image) -> None:
    width_px, height_px = picture.size
    if max(width_px, height_px) > MAX_SIDE_PX or width_px * height_px > MAX_PIXELS:
        raise BadAnswer
