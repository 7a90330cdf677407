"""PNG files put together chunk by chunk, right ones and wrong ones."""

from __future__ import annotations

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, INDEXED, RGBA = 0, 2, 3, 6
_SAMPLES = {GREY: 1, RGB: 3, INDEXED: 1, RGBA: 4}


def chunk(name: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def ihdr(
    width_px: int = 20, height_px: int = 20, *, depth: int = 8, colour: int = GREY, tail: bytes = b"\0\0\0"
) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBB", width_px, height_px, depth, colour) + tail)


def pixels(width_px: int = 20, height_px: int = 20, *, colour: int = GREY, shade: int = 255) -> bytes:
    """The compressed rows of one even picture with 8 bits a sample."""
    return zlib.compress((b"\0" + bytes([shade]) * (width_px * _SAMPLES[colour])) * height_px)


def file(*chunks: bytes) -> bytes:
    return SIGNATURE + b"".join(chunks)


def png(width_px: int = 20, height_px: int = 20, *, colour: int = GREY, shade: int = 255) -> bytes:
    """The plainest right PNG of this size."""
    idat = chunk(b"IDAT", pixels(width_px, height_px, colour=colour, shade=shade))
    return file(ihdr(width_px, height_px, colour=colour), idat, chunk(b"IEND"))
