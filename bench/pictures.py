"""Sketches and pictures of a given size: real PNGs of noise, each seed another one."""

from __future__ import annotations

import random
import struct
import zlib


def png(size_bytes: int, seed: int = 0) -> bytes:
    """Return a PNG of about that many bytes (never fewer than one row takes)."""
    width_px = 16 if size_bytes < 64 * 1024 else 256  # a picture needs 16 a side, and may have 8192
    row_bytes = width_px * 3
    rows = max(size_bytes // (row_bytes + 1), 1)
    noise = random.Random(seed)
    pixels = b"".join(b"\0" + noise.randbytes(row_bytes) for _ in range(rows))
    header = struct.pack(">IIBBBBB", width_px, rows, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels, 0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
