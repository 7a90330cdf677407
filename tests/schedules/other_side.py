"""Gemini and Pub/Sub as the schedule wants them: both in the test's own loop, on the wire formats of the real ones."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from emulator import gemini_wire

_MODEL = "gemini-3.1-flash-image"


@dataclass(eq=False)
class Call:
    """One call of Gemini, which waits until it is told how it ends."""

    png: bytes
    lapses: int
    """How many times flights may have lapsed before it began."""
    end: asyncio.Future[tuple[int, bytes]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    gone: bool = False
    how: str = ""
    losses: int = -1
    """How many times results may have been lost before it ended."""

    @property
    def in_the_air(self) -> bool:
        return not self.how and not self.gone


@dataclass(eq=False)
class Message:
    """One message as it was published; handed out until somebody acknowledges it, and now and then after that."""

    data: bytes
    attributes: dict[str, str]
    id: str
    acknowledged: bool = False

    @property
    def request_id(self) -> str:
        return self.attributes["request_id"]


class OtherSide:
    """Both services on one port."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.messages: list[Message] = []
        self.next_publish = "take"
        """Or `refuse`, or `lose`: taken, but the connection closes instead of an answer."""
        self.lapses = self.losses = 0
        """What makes a second call for a sketch right: a flight that lapsed, a result that could not be kept."""
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def held(self) -> list[Call]:
        """The calls that somebody waits for."""
        return [call for call in self.calls if call.in_the_air]

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def publish(self, data: bytes, attributes: dict[str, str]) -> None:
        """Take a message in, under an id of its own."""
        self.messages.append(Message(data, attributes, str(len(self.messages) + 1)))

    def lost(self) -> None:
        """Count that flights and results may be gone."""
        self.lapses += 1
        self.losses += 1

    def answer(self, call: Call, how: str) -> None:
        """End a call: `drawn`, `no_image`, `refused`, or with a status."""
        call.how, call.losses = how, self.losses
        if how.isdecimal():
            response = gemini_wire.ApiError(int(how), "As the schedule wants it.").response()
        elif how == "refused":
            response = gemini_wire.refusal(gemini_wire.GeminiFault(kind="refuse"), _MODEL)
        else:
            fault = gemini_wire.GeminiFault(kind="no_image") if how == "no_image" else None
            response = gemini_wire.spoiled(_content(call.png), fault)
        call.end.set_result((response.status_code, bytes(response.body)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while True:
                path, body = await _request(reader)
                answered = await (self._publish(body) if path.endswith(":publish") else self._call(reader, body))
                if answered is None:
                    break
                status, answer = answered
                head = f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {len(answer)}\r\n\r\n"
                writer.write(head.encode() + answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _publish(self, body: bytes) -> tuple[int, bytes] | None:
        how, self.next_publish = self.next_publish, "take"
        if how == "refuse":
            return 403, b"{}"
        for message in json.loads(body)["messages"]:
            self.publish(base64.b64decode(message["data"]), message["attributes"])
        return None if how == "lose" else (200, b'{"messageIds": ["1"]}')

    async def _call(self, reader: asyncio.StreamReader, body: bytes) -> tuple[int, bytes] | None:
        call = Call(gemini_wire.sketch(body), self.lapses)
        self.calls.append(call)
        gone = asyncio.ensure_future(reader.read(1))
        await asyncio.wait((gone, call.end), return_when=asyncio.FIRST_COMPLETED)
        if call.end.done():
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
            return call.end.result()
        call.gone = True
        return None


def _content(png: bytes) -> dict[str, object]:
    """An answer whose picture is the sketch itself, so that it is known whose drawing it is."""
    words = json.dumps({"title": "A sketch", "style": "as it was", "palette": [], "background": "", "notes": ""})
    inline = {"mimeType": "image/png", "data": base64.b64encode(png).decode()}
    parts = [{"text": words}, {"inlineData": inline}]
    return {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}]}


async def _request(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *lines = head.splitlines()
    headers = dict(each.lower().split(": ", 1) for each in lines if each)
    return line.split()[1], await reader.readexactly(int(headers.get("content-length", "0")))
