"""HTTP connections straight on asyncio: httpcore2 lets its users bring them (its page "Network Backends").

Those that it brings itself, on anyio, take a quarter more of a publish's CPU, and send its head and its body apart.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import httpcore2

HELD_BYTES = 64 * 1024
"""Less than that is held back until the client wants an answer: head and body then leave together."""
UNREAD_BYTES = 512 * 1024
"""With more than that unread the connection is not read from."""
ANSWERED_S = 1.0
"""Who has said something and then takes nothing for so long has answered, and will not have the rest."""
NEXT_ADDRESS_S = 0.25
"""When to try the next address of a host beside one that does not answer (RFC 8305)."""


class Network(httpcore2.AsyncNetworkBackend):
    """Opens TCP connections. Here as below, OSError becomes httpcore2's ConnectError, ReadError or WriteError."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> _Stream:
        loop, wire = asyncio.get_running_loop(), _Wire()
        with _Raised(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            async with asyncio.timeout(timeout):
                await loop.create_connection(lambda: wire, host, port, happy_eyeballs_delay=NEXT_ADDRESS_S)
        return _Stream(wire)


class _Stream(httpcore2.AsyncNetworkStream):
    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        self._held: list[bytes] = []

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._wire.send(self._held)
        with _Raised(httpcore2.ReadTimeout, httpcore2.ReadError):
            await self._wire.arrival(timeout)
            data = self._wire.take(max_bytes)
            if self._wire.has_bytes:  # others get their turn: to parse small pieces takes long
                await asyncio.sleep(0)
            return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._held.append(buffer)
        if sum(map(len, self._held)) < HELD_BYTES:
            return
        with _Raised(httpcore2.WriteTimeout, httpcore2.WriteError):
            self._wire.send(self._held)
            await self._wire.drained(timeout)

    async def aclose(self) -> None:
        if not self._wire.lost.is_set():  # asyncio takes a transport apart that has ended
            self._wire.transport.abort()
        await self._wire.lost.wait()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> _Stream:
        with _Raised(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            async with asyncio.timeout(timeout):
                await self._wire.start_tls(ssl_context, server_hostname)
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # of a connection that should be silent: it has ended
            return self._wire.ending or _has_come(self._wire.transport.get_extra_info("socket").fileno())
        return self._wire.transport.get_extra_info(info)


class _Wire(asyncio.Protocol):
    """What has come and is not read yet, and whether there is room for more to be sent."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._unread: deque[bytes] = deque()
        self._unread_bytes = 0
        self._ended, self.lost = False, asyncio.Event()
        self._error: Exception | None = None
        self._news: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None

    @property
    def has_bytes(self) -> bool:
        return bool(self._unread)

    @property
    def readable(self) -> bool:
        """Whether `take` has something to give: bytes, or the end."""
        return self.has_bytes or self._ended

    @property
    def ending(self) -> bool:
        """Whether nobody can be asked anything any more, or something has come unasked."""
        return self.readable or self.transport.is_closing()

    async def arrival(self, within_s: float | None) -> None:
        """Wait until it is readable; raise TimeoutError."""
        if not self.readable:
            self._news = asyncio.get_running_loop().create_future()
            await _within(within_s, self._news)

    def take(self, max_bytes: int) -> bytes:
        """Return what has come, or nothing at the end; raise OSError where that was a failure."""
        if not self._unread:
            if self._error:
                raise self._error
            return b""
        data = self._unread.popleft()
        if len(data) > max_bytes:
            self._unread.appendleft(data[max_bytes:])
            data = data[:max_bytes]
        self._unread_bytes -= len(data)
        if self._unread_bytes < UNREAD_BYTES and not self._ended:
            self.transport.resume_reading()
        return data

    def send(self, held: list[bytes]) -> None:
        """Send what is held, and empty it; what nobody would read is dropped."""
        if held:
            if not self.transport.is_closing():
                self.transport.write(b"".join(held))
            held.clear()

    async def drained(self, within_s: float | None) -> None:
        """Wait until there is room for more; raise TimeoutError, or another OSError where nobody will read it."""
        if self._room and not self._ended:
            await _within(within_s, self._room)
        if self._room or self._ended or self.transport.is_closing():
            raise self._error or ConnectionResetError

    async def start_tls(self, context: ssl.SSLContext, host: str | None) -> None:
        loop = asyncio.get_running_loop()
        transport = await loop.start_tls(self.transport, self, context, server_hostname=host)
        if transport is None:
            raise ConnectionResetError
        self.transport = transport

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._unread.append(data)
        self._unread_bytes += len(data)
        if self._unread_bytes >= UNREAD_BYTES:
            self.transport.pause_reading()
        _done(self._news)
        self._stop_waiting_soon()

    def eof_received(self) -> None:
        self._ended = True
        _done(self._news)
        _done(self._room)  # whoever has said all has no use for the rest: its answer is here, and can be read

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended, self._error = True, exc
        self.lost.set()
        _done(self._news)
        _done(self._room)

    def pause_writing(self) -> None:
        self._room = asyncio.get_running_loop().create_future()
        self._stop_waiting_soon()

    def resume_writing(self) -> None:
        _done(self._room)
        self._room = None

    def _stop_waiting_soon(self) -> None:
        """Wait for room no longer than this where something has come: not at once, it may be an interim answer."""
        if self._room and self.has_bytes:
            asyncio.get_running_loop().call_later(ANSWERED_S, _done, self._room)


class _Raised:
    """Raises httpcore2's errors for those of its block."""

    def __init__(self, timed_out: type[Exception], broken: type[Exception]) -> None:
        self._timed_out, self._broken = timed_out, broken

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if isinstance(error, TimeoutError):  # which is an OSError, too
            raise self._timed_out from error
        if isinstance(error, OSError):
            raise self._broken from error


def _has_come(descriptor: int) -> bool:
    """Whether there is something that the loop has not seen yet."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


async def _within(seconds: float | None, future: asyncio.Future[None]) -> None:
    """Wait for it so long; asyncio.timeout, which can wait for anything, would be 2 % of a publish's CPU each time."""
    if seconds is None:
        await future
        return
    timer = asyncio.get_running_loop().call_later(seconds, _done, future, TimeoutError())
    try:
        await future
    finally:
        timer.cancel()


def _done(future: asyncio.Future[None] | None, error: Exception | None = None) -> None:
    if future and not future.done():
        future.set_exception(error) if error else future.set_result(None)
