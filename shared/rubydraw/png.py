"""A PNG checked chunk by chunk, without decoding a pixel (W3C: Portable Network Graphics, third edition)."""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_SIDE_PX = 8192
MAX_PIXELS = 40_000_000
MAX_CHUNKS = 10_000
"""Programs cut IDAT into chunks of 8 KiB or more: 640 in 5 MiB. As many empty ones as fit would block the loop for
seconds."""

_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_KEPT = (*_CRITICAL, b"tRNS")
_BIT_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


class BadPng(ValueError):
    """Not a PNG that we accept; the text is one clause that says what was found."""


class Png(NamedTuple):
    """
    A checked PNG.

    `data`: the critical chunks and tRNS, nothing else and nothing after IEND.
    `identity`: SHA-256 over IHDR, PLTE, tRNS and the joined IDAT, each with its length before it, so that
    neither metadata nor the way IDAT was cut into chunks makes two equal pictures differ.
    """

    data: bytes
    width_px: int
    height_px: int
    identity: bytes


def read_png(data: bytes) -> Png:
    """Check signature, chunk order, lengths, CRCs and size of `data`; raise BadPng."""
    if not data.startswith(SIGNATURE):
        raise BadPng("it does not start with the PNG signature")
    kept, chunks = [memoryview(SIGNATURE)], _Chunks()
    view, at = memoryview(data), len(SIGNATURE)
    while not chunks.ended:
        if chunks.count == MAX_CHUNKS:
            raise BadPng(f"it has more than {MAX_CHUNKS} chunks")
        name, body, end = _chunk_at(view, at)
        chunks.add(name, body)
        if name in _KEPT:
            kept.append(view[at:end])
        at = end
    width_px, height_px = _size(chunks.header)
    return Png(b"".join(kept), width_px, height_px, chunks.identity())


def _chunk_at(view: memoryview, at: int) -> tuple[bytes, memoryview, int]:
    """Return name, body and end of the chunk that starts at byte `at`."""
    if at + 12 > len(view):
        raise BadPng("it is cut short")
    length, name = struct.unpack_from(">I4s", view, at)
    end = at + 12 + length
    if end > len(view):
        raise BadPng("it is cut short")
    body = view[at + 8 : end - 4]
    if zlib.crc32(body, zlib.crc32(name)) != struct.unpack_from(">I", view, end - 4)[0]:
        raise BadPng(f"the checksum of its {_shown(name)} chunk is wrong")
    return name, body, end


class _Chunks:
    """Checks the order of the chunks, and collects what makes up the picture."""

    def __init__(self) -> None:
        self.header = b""
        self.palette = b""
        self.transparency = b""
        self.pixels: list[memoryview] = []
        self.ended = False
        self._last = b""
        self.count = 0

    def add(self, name: bytes, body: memoryview) -> None:
        """Take the next chunk; raise BadPng if it is damaged or not allowed at this place."""
        if (name == b"IHDR") != (not self.header):
            raise BadPng("it must begin with an IHDR chunk and have no second one")
        match name:
            case b"IHDR":
                self._check_header(bytes(body))
            case b"PLTE":
                self._check_palette(bytes(body))
            case b"tRNS":
                self._check_transparency(bytes(body))
            case b"IDAT":
                self._check_pixels(body)
            case b"IEND":
                self._check_end(body)
            case _ if not name.isalpha() or not name[0] & 0x20:
                raise BadPng(f"it has an unknown critical {_shown(name)} chunk")
        self._last = name
        self.count += 1

    def _check_header(self, body: bytes) -> None:
        if len(body) != 13:
            raise BadPng(f"its IHDR chunk has {len(body)} bytes instead of 13")
        depth, colour, compression, filtering, interlace = body[8:]
        if depth not in _BIT_DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
            raise BadPng("its IHDR chunk has a bit depth, colour type or method that PNG does not define")
        _size(body)
        self.header = body

    def _check_palette(self, body: bytes) -> None:
        if self.palette or self.pixels or self.transparency or self.header[9] in (0, 4):
            raise BadPng("it has a PLTE chunk that its colour type or the order of its chunks does not allow")
        if not body or len(body) % 3 or len(body) > 768:
            raise BadPng(f"its PLTE chunk has {len(body)} bytes; allowed are multiples of 3 up to 768")
        self.palette = body

    def _check_transparency(self, body: bytes) -> None:
        colour = self.header[9]
        allowed = {0: len(body) == 2, 2: len(body) == 6, 3: 0 < len(body) <= len(self.palette) // 3}
        if self.transparency or self.pixels or not allowed.get(colour, False):
            raise BadPng("it has a tRNS chunk whose place or length PNG does not allow")
        self.transparency = body

    def _check_pixels(self, body: memoryview) -> None:
        if self.header[9] == 3 and not self.palette:
            raise BadPng("it has no palette before its pixels")
        if self.pixels and self._last != b"IDAT":
            raise BadPng("its IDAT chunks are not consecutive")
        self.pixels.append(body)

    def _check_end(self, body: memoryview) -> None:
        if body or not any(self.pixels):
            raise BadPng("it has no pixels")
        self.ended = True

    def identity(self) -> bytes:
        digest = hashlib.sha256()
        for field in (self.header, self.palette, self.transparency):
            digest.update(len(field).to_bytes(8, "big"))
            digest.update(field)
        digest.update(sum(len(body) for body in self.pixels).to_bytes(8, "big"))
        for body in self.pixels:
            digest.update(body)
        return digest.digest()


def _size(header: bytes) -> tuple[int, int]:
    """Return width and height in pixels, or raise BadPng outside 1 to 8192 a side and 40 megapixels."""
    width_px, height_px = struct.unpack_from(">II", header)
    if not (0 < width_px <= MAX_SIDE_PX and 0 < height_px <= MAX_SIDE_PX) or width_px * height_px > MAX_PIXELS:
        raise BadPng(
            f"it has {width_px} x {height_px} pixels; allowed are 1 to {MAX_SIDE_PX} a side"
            f" and {MAX_PIXELS // 1_000_000} megapixels in all"
        )
    return width_px, height_px


def _shown(name: bytes) -> str:
    return name.decode("ascii") if name.isalpha() else "nameless"
