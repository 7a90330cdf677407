"""Answers every POST with the same bytes at once: Gemini without a delay, or a topic that takes each message."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path


class Fixed(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, answer: bytes) -> None:
        self._answer, self._received, self._whole = answer, bytearray(), 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._whole:
            head, found, _ = self._received.partition(b"\r\n\r\n")
            if not found:
                return
            lengths = [line[15:] for line in bytes(head).lower().split(b"\r\n") if line.startswith(b"content-length:")]
            self._whole = len(head) + 4 + int(lengths[0])
        if len(self._received) >= self._whole:
            self._received.clear()
            self._whole = 0
            self._transport.write(self._answer)  # type: ignore[attr-defined]


async def serve(port: int, answer: bytes) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Fixed(answer), "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fixed", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--answer", type=Path, required=True, help="a file with the JSON to answer")
    options = parser.parse_args()
    body = options.answer.read_bytes()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    asyncio.run(serve(options.port, head.encode() + body))


if __name__ == "__main__":
    main()
