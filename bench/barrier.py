"""A Gemini that keeps every call waiting until it is told to answer them all, each with a picture of 1 MB.

`python -m bench.barrier --port N`: calls wait from `POST /hold` on; `GET /waiting` says how many do, `POST /release`
answers them.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import random
import struct
import zlib

import orjson
import pybase64
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

SIDE_PX = 1000
"""A grey picture with sides of this length, of noise that cannot be compressed, has 1 MB."""


def noise(seed: int, side_px: int = SIDE_PX) -> bytes:
    """Return a PNG with as many bytes as pixels, another one for each seed."""
    rows = random.Random(seed).randbytes(side_px * side_px)
    pixels = b"".join(b"\0" + rows[at : at + side_px] for at in range(0, len(rows), side_px))
    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(pixels, 0)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


class Barrier:
    """The calls that wait, and the one answer to all of them."""

    def __init__(self, picture: bytes) -> None:
        inline = {"mimeType": "image/png", "data": pybase64.b64encode(picture).decode()}
        parts = [{"text": '{"title": "Noise"}'}, {"inlineData": inline}]
        candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}
        self._answer = orjson.dumps({"candidates": [candidate]})
        self._open, self._waiting = asyncio.Event(), 0
        self._open.set()

    def app(self) -> Starlette:
        routes = [
            Route("/waiting", self._count, methods=["GET"]),
            Route("/release", self._release, methods=["POST"]),
            Route("/hold", self._hold, methods=["POST"]),
            Route("/{path:path}", self._call, methods=["POST"]),
        ]
        return Starlette(routes=routes)

    async def _count(self, _: Request) -> Response:
        return JSONResponse(self._waiting)

    async def _release(self, _: Request) -> Response:
        self._open.set()
        return Response(status_code=204)

    async def _hold(self, _: Request) -> Response:
        self._open.clear()
        return Response(status_code=204)

    async def _call(self, request: Request) -> Response:
        async for _ in request.stream():
            pass
        self._waiting += 1
        try:
            await self._open.wait()
        finally:
            self._waiting -= 1
        return Response(self._answer, media_type="application/json")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.barrier", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--jpeg", action="store_true", help="answer JPEG, as the real models do")
    options = parser.parse_args()
    picture = noise(0)
    if options.jpeg:
        jpeg = io.BytesIO()
        Image.open(io.BytesIO(picture)).save(jpeg, "JPEG")
        picture = jpeg.getvalue()
    app = Barrier(picture).app()
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="critical", timeout_keep_alive=60)


if __name__ == "__main__":
    main()
