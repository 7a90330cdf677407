"""Network connections of httpcore2 directly on asyncio (its page "Network Backends").

httpcore2's own backend, on anyio, takes a quarter more CPU for a publish, and sends the request's head and body apart.
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
"""Less than this is held back until the client reads the answer: head and body then leave together."""
UNREAD_BYTES = 512 * 1024
"""With this much unread, nothing more is read from the connection."""
ANSWERED_S = 1.0
"""A server that has sent something and then accepts nothing for this long has answered and will not read the rest."""
NEXT_ADDRESS_S = 0.25
"""After this long without an answer, the next address of a host is tried in parallel (RFC 8305)."""


class Network(httpcore2.AsyncNetworkBackend):
    """Opens TCP connections. Here and below, OSError becomes httpcore2's ConnectError, ReadError or WriteError."""

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
            if self._wire.has_bytes:  # let other tasks run: parsing small pieces takes long
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
        if not self._wire.lost.is_set():  # asyncio clears the fields of a transport that has ended
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
        if info == "is_readable":  # asked of idle connections: one that is readable has ended
            return self._wire.ending or _has_come(self._wire.transport.get_extra_info("socket").fileno())
        return self._wire.transport.get_extra_info(info)


class _Wire(asyncio.Protocol):
    """The received bytes that are not read yet, and whether there is room to send more."""

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
        """Whether no further request can be sent: the connection is ending, or something unrequested has come."""
        return self.readable or self.transport.is_closing()

    async def arrival(self, within_s: float | None) -> None:
        """Wait until it is readable; raise TimeoutError."""
        if not self.readable:
            self._news = asyncio.get_running_loop().create_future()
            await _within(within_s, self._news)

    def take(self, max_bytes: int) -> bytes:
        """Return received bytes, or none at the end of the stream; raise OSError if a failure ended it."""
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
        """Send the bytes in `held` and clear it; drop them if the connection is closing."""
        if held:
            if not self.transport.is_closing():
                self.transport.write(b"".join(held))
            held.clear()

    async def drained(self, within_s: float | None) -> None:
        """Wait until there is room to send more; raise TimeoutError, or another OSError if the server reads no more."""
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
        _done(self._room)  # a server that has sent everything needs no more of the request; its answer can be read

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
        """If something has come, end the wait for room after ANSWERED_S: not at once, it may be an interim response."""
        if self._room and self.has_bytes:
            asyncio.get_running_loop().call_later(ANSWERED_S, _done, self._room)


class _Raised:
    """Turns the OSErrors of its block into errors of httpcore2."""

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
    """Whether a socket has something to read that the event loop has not noticed yet."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


async def _within(seconds: float | None, future: asyncio.Future[None]) -> None:
    """Wait for `future`; raise TimeoutError. The more general asyncio.timeout would take 2 % of a publish's CPU."""
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
