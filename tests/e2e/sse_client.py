"""A reader of event streams over a plain socket: it sees each byte as it comes, and can stop reading at will."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

SUBSCRIBE = """subscription Watch($id: String!) { improveSketchStatus(requestId: $id) {
  status attempt updatedAt etaMs pollAfterMs problem { code } result { title } } }"""


class EventReader:
    """One stream; `heard` holds its events so far: their name, data, and when they came, in s since 1970."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.heard: list[tuple[str, Any, float]] = []

    async def next(self, *, within_s: float = 20) -> tuple[str, Any] | None:
        """Wait for an event; return its name and its data, or None at the end of the stream."""
        async with asyncio.timeout(within_s):
            while (block := await self._block()) is not None:
                fields = dict(line.partition(": ")[::2] for line in block.split("\n"))
                if "event" in fields:
                    data = json.loads(fields["data"]) if fields.get("data") else None
                    self.heard.append((fields["event"], data, time.time()))
                    return fields["event"], data
        return None

    async def status(self, *, within_s: float = 20) -> str:
        """Wait for the next event and return the state that it tells, or its name, or `end`."""
        event = await self.next(within_s=within_s)
        if event is None:
            return "end"
        name, data = event
        if name != "next":
            return name
        return str(data["data"]["improveSketchStatus"]["status"] if data.get("data") else data["errors"][0]["message"])

    async def until(self, *statuses: str, within_s: float = 20) -> list[str]:
        """Read on until one of these is told; return all that was told, it included."""
        told = [await self.status(within_s=within_s)]
        while told[-1] not in (*statuses, "end"):
            told.append(await self.status(within_s=within_s))
        return told

    def leave(self) -> None:
        """Go away without a word."""
        self._writer.transport.abort()

    async def _block(self) -> str | None:
        """Return what one chunk of the answer holds: an event or a comment, since each is sent as one."""
        size = int((await self._reader.readline()).strip() or b"0", 16)
        text = (await self._reader.readexactly(size + 2))[:-2].decode() if size else None
        return text.rstrip("\n") if text is not None else None


@asynccontextmanager
async def stream_of(
    endpoint: str, request_id: str, *, query: str = SUBSCRIBE, read_bytes: int = 2**16, client: str = "127.0.0.1"
) -> AsyncIterator[EventReader]:
    """Subscribe to a job at an address, as `graphql-sse` does; `client`: who Google's front end says it is."""
    reader, writer = await _asked(endpoint, request_id, query, read_bytes, client)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    assert " 200 " in head.splitlines()[0]
    assert "content-type: text/event-stream" in head
    events = EventReader(reader, writer)
    try:
        yield events
    finally:
        events.leave()


async def _asked(
    endpoint: str, request_id: str, query: str, read_bytes: int, client: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    at = urlsplit(endpoint)
    reader, writer = await asyncio.open_connection(at.hostname, at.port, limit=read_bytes)
    body = json.dumps({"query": query, "variables": {"id": request_id}}).encode()
    writer.write(
        b"POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nx-forwarded-for: %s\r\n"
        b"accept: text/event-stream\r\ncontent-length: %d\r\n\r\n" % (client.encode(), len(body)) + body
    )
    await writer.drain()
    return reader, writer
