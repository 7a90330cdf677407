"""A proxy in front of Redis that fails at a chosen command, scripted like the stand-ins; for whole processes."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Literal

from rubydraw.jobs.acceptance import accept_script
from rubydraw.redis.store import Script

from tests.servers import POLL_S, WAIT_S

OOM = "OOM command not allowed when used memory > 'maxmemory'."
READONLY = "READONLY You can't write against a read only replica."

_LUA = [Path(file.name).stem for file in (files("rubydraw") / "lua").iterdir()]
_BEFORE = ((), ("job",), ("job", "kept"), ("kept",))
_SCRIPTS = {Script(*before, name).sha: name for name in _LUA for before in _BEFORE}
_SCRIPTS |= {Script("budget", name, flags="allow-oom").sha: name for name in _LUA} | {accept_script().sha: "accept"}
_MORE = {b"*": 1, b"~": 1, b">": 1, b"%": 2}


@dataclass(frozen=True)
class RedisFault:
    """
    What goes wrong with the next command named `at`: a Redis command, one of our scripts, or empty for any.

    * `drop`: the connection closes, the command does not arrive
    * `lose`: the command is carried out, but the connection closes instead of an answer
    * `refuse`: answered with the error `error`, and not carried out
    * `delay`: carried out after `seconds`
    * `swallow`: neither carried out nor answered; the connection stays open
    * `flush`: carried out on an emptied Redis
    * `hold`: held before it is carried out, until `release`
    * `hold_answer`: carried out, but its answer is held until `release`
    """

    kind: Literal["drop", "lose", "refuse", "delay", "swallow", "flush", "hold", "hold_answer"]
    at: str = ""
    times: int = 1
    seconds: float = 0.4
    error: str = OOM


class RedisProxy:
    """Takes commands one by one, on a thread of its own; any other thread can script it."""

    def __init__(self, redis_port: int) -> None:
        self._redis_port = redis_port
        self.url = ""
        self.waiting = 0
        self._faults: deque[RedisFault] = deque()
        self._loop = asyncio.new_event_loop()
        self._released = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()

    def fail(self, kind: str, at: str = "", **fault: object) -> None:
        """Add a fault; of several, each waits for its own command."""
        self._faults.append(RedisFault(kind, at, **fault))  # type: ignore[arg-type]

    @property
    def left(self) -> list[RedisFault]:
        """The faults that no command has met yet."""
        return list(self._faults)

    async def until_waiting(self, count: int = 1) -> None:
        """Poll until so many commands are held back, or more: a client that times out sends its command again."""
        async with asyncio.timeout(WAIT_S):
            while self.waiting < count:
                await asyncio.sleep(POLL_S)

    def release(self) -> None:
        """Let go of the commands that are held back."""
        self._loop.call_soon_threadsafe(self._let_go)

    def clear(self) -> None:
        """Forget the faults, and hold nobody back."""
        self._faults.clear()
        self.release()

    @contextmanager
    def listening(self) -> Iterator[None]:
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        thread = threading.Thread(target=self._loop.run_forever)
        thread.start()
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            server.close()
            self._loop.run_until_complete(self._end())
            self._loop.close()

    async def _end(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _let_go(self) -> None:
        self._released.set()
        self._released = asyncio.Event()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        server_reader, server = await asyncio.open_connection("127.0.0.1", self._redis_port)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                sent = await _whole(reader)
                name = _name(sent)
                if name == "SUBSCRIBE":  # from here on both sides send at any time
                    server.write(sent)
                    await asyncio.gather(_pump(reader, server), _pump(server_reader, writer))
                    break
                if fault := self._take(name):
                    await self._before(fault, reader, server_reader, server)
                    if fault.kind == "refuse":
                        writer.write(f"-{fault.error}\r\n".encode())
                        continue
                server.write(sent)
                answer = await _whole(server_reader)
                if fault:
                    await self._after(fault, answer)
                writer.write(answer)
                await writer.drain()
        for each in (writer, server):
            each.close()

    async def _before(
        self,
        fault: RedisFault,
        client: asyncio.StreamReader,
        reader: asyncio.StreamReader,
        server: asyncio.StreamWriter,
    ) -> None:
        match fault.kind:
            case "drop":
                raise ConnectionResetError
            case "delay":
                await asyncio.sleep(fault.seconds)
            case "hold":
                await self._wait(self._released)
                if client._eof:  # type: ignore[attr-defined]  # a client killed meanwhile has not sent it
                    raise ConnectionResetError
            case "swallow":
                while await client.read(65536):
                    pass
                raise ConnectionResetError
            case "flush":
                server.write(b"FLUSHALL\r\n")
                await _whole(reader)

    async def _after(self, fault: RedisFault, answer: bytes) -> None:
        if answer.startswith(b"-NOSCRIPT"):
            self._faults.appendleft(replace(fault, times=1))  # the client sends the script again, in full
        elif fault.kind == "hold_answer":
            await self._wait(self._released)
        elif fault.kind == "lose":
            raise ConnectionResetError

    async def _wait(self, event: asyncio.Event) -> None:
        self.waiting += 1
        try:
            await event.wait()
        finally:
            self.waiting -= 1

    def _take(self, name: str) -> RedisFault | None:
        """Return the first fault that waits for this command, used up once; None if there is none."""
        for place, fault in enumerate(self._faults):
            if fault.at in ("", name):
                if fault.times > 1:
                    self._faults[place] = replace(fault, times=fault.times - 1)
                else:
                    del self._faults[place]
                return fault
        return None


async def _whole(reader: asyncio.StreamReader) -> bytes:
    """Read one command or one answer, as it is on the wire (RESP3)."""
    line = await reader.readuntil(b"\r\n")
    kind, count = line[:1], line[1:-2]
    if kind in (b"$", b"=", b"!") and int(count) >= 0:
        return line + await reader.readexactly(int(count) + 2)
    if kind in _MORE:
        return line + b"".join([await _whole(reader) for _ in range(int(count) * _MORE[kind])])
    return line


def _name(sent: bytes) -> str:
    """Return the name of a command, or of our script that it calls."""
    words = sent.split(b"\r\n", 5)
    name = words[2].decode().upper()
    if name == "EVALSHA":
        return _SCRIPTS.get(words[4].decode(), name)
    if name == "EVAL":
        size = int(words[3][1:])
        return _SCRIPTS.get(hashlib.sha1(sent.split(b"\r\n", 4)[4][:size]).hexdigest(), name)
    return name


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
