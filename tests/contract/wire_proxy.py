"""A network between a client and its server on loopback, which can lose what a real one loses."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

NO_MAP = b"%1\r\n*1\r\n+a\r\n+b\r\n"
"""Of Redis: a map with a list for its key, of which Python can make none."""


@dataclass
class WireProxy:
    """
    Forwards to `port`, except what it is told to spoil.

    `drop`: so many connections are closed at their first request, which does not arrive. `lose`: so many answers
    are swallowed and their connections closed. `silent`: no answer comes back at all. `slow_s`: each piece of an answer
    comes so much later. `instead`: is said in place of an answer, if set, and the connection closed. `split`: answers
    come byte by byte. `ahead`, `beside`: said once, before or behind an answer. `cut`: so many bytes of an answer come,
    then the end.
    """

    port: int
    drop: int = 0
    lose: int = 0
    silent: bool = False
    slow_s: float = 0
    instead: bytes = b""
    split: bool = False
    ahead: bytes = b""
    beside: bytes = b""
    cut: int = 0
    connections: int = 0
    address: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            self.hang_up()
            if self._serving:
                await asyncio.wait(self._serving)

    def hang_up(self) -> None:
        """Close every connection, as a server does that starts again."""
        for writer in self._open:
            writer.close()

    def say(self, words: bytes) -> None:
        """Tell every client something that none of them has asked for."""
        for writer in self._open:
            if writer.get_extra_info("sockname")[1] == self.address:
                writer.write(words)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        self.connections += 1
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._open |= {writer, server_writer}
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(self._up(reader, server_writer), self._down(server_reader, writer, server_writer))
        for each in (writer, server_writer):
            each.close()
            self._open.discard(each)

    async def _up(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.drop:
                self.drop -= 1
                raise ConnectionResetError
            server.write(data)
        server.close()

    async def _down(
        self, reader: asyncio.StreamReader, client: asyncio.StreamWriter, server: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(65536):
            if self.lose:
                self.lose -= 1
                server.close()
                break
            if self.instead:
                client.write(self.instead)
                server.close()
                break
            await asyncio.sleep(self.slow_s)
            if self.cut:
                client.write(data[: self.cut])
                self.cut = 0
                server.close()
                break
            data, self.ahead, self.beside = self.ahead + data + self.beside, b"", b""
            for piece in (data[at : at + 1] for at in range(len(data))) if self.split else (data,):
                if not self.silent:
                    client.write(piece)
                if self.split:  # who listens in this loop reads it before the next one is written
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
        client.close()
