"""Sketches, drawings and jobs that tests begin with."""

from __future__ import annotations

import io
import struct
import time
import uuid
import zlib
from dataclasses import replace
from typing import Any

from PIL import Image
from rubydraw.drawing import Drawing
from rubydraw.jobs.message import JobMessage
from rubydraw.png import SIGNATURE
from rubydraw.sketch import Sketch

HOUR_MS = 60 * 60 * 1000
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def now_ms() -> int:
    """Ms since 1970 by this machine's clock, which is Valkey's too."""
    return time.time_ns() // 1_000_000


def png(shade: int = 0) -> bytes:
    """A small grey square, which the stand-in redraws in no time; another shade is another picture."""
    out = io.BytesIO()
    Image.new("RGB", (16, 16), (shade, shade, shade)).save(out, "PNG")
    return out.getvalue()


def hollow_png() -> bytes:
    """Valid PNG chunks around invalid pixel data: we accept it, and Gemini cannot."""
    header, pixels = struct.pack(">IIBBBBB", 48, 32, 8, 2, 0, 0, 0), b"these are no deflated pixels"
    chunks = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    framed = [struct.pack(">I", len(body)) + name + body for name, body in chunks]
    return SIGNATURE + b"".join(each + struct.pack(">I", zlib.crc32(each[4:])) for each in framed)


def sketch(shade: int = 0, *, hints: str = "", variant: int = 0) -> Sketch:
    return Sketch.from_png(png(shade), "", hints, variant, max_png_bytes=1024 * 1024)


def job(request_id: str = "", **fields: Any) -> JobMessage:
    """A job accepted just now, unless said otherwise."""
    accepted = JobMessage(request_id or str(uuid.uuid4()), "someone", now_ms(), 0, "d1", TRACEPARENT, sketch())
    return replace(accepted, **fields)


def drawing(**fields: Any) -> Drawing:
    """A finished drawing."""
    finished = Drawing(
        image=png(),
        title="A bar – überall",
        style="flat",
        palette=("#000000", "#ffffff"),
        background="transparent",
        notes="Straightened.",
        model="a-model",
        prompt_version="p1",
        provider_ms=1234,
        created_at_ms=now_ms(),
    )
    return replace(finished, **fields)
