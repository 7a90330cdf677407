"""A closed loop over keep-alive connections, with minimal work per request: the server has to be the limit."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

RECEIVE_BYTES = 1024 * 1024
ANSWER_S = 30.0


@dataclass(frozen=True, slots=True)
class Load:
    """What one run measured; `busy` is the share of its time in which the load generator itself used the CPU."""

    answers_per_s: float
    latencies_ms: list[float]
    busy: float

    def percentile(self, part: float) -> float:
        ordered = sorted(self.latencies_ms)
        return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


class Connection:
    """One client: sends a request, collects its answer, and begins again."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(ANSWER_S)
        self._buffer = bytearray(RECEIVE_BYTES)
        self._filled = self._body_at = 0
        self._whole: int | None = None
        self.began = 0.0

    def send(self, request: bytes) -> None:
        self._filled, self._whole, self.began = 0, None, time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> memoryview | None:
        """Read what is there; return the body once it is whole."""
        if self._filled == len(self._buffer):
            self._buffer += bytes(len(self._buffer))
        count = self.socket.recv_into(memoryview(self._buffer)[self._filled :])
        if not count:
            raise SystemExit("the server closed a connection before it had answered")
        self._filled += count
        if self._whole is None:
            self._read_head()
        return memoryview(self._buffer)[self._body_at : self._filled] if self._filled == self._whole else None

    def ask(self, request: bytes) -> bytes:
        """Send one request and return the body of its answer."""
        self.send(request)
        while (body := self.receive()) is None:
            pass
        return bytes(body)

    def _read_head(self) -> None:
        end = self._buffer.find(b"\r\n\r\n", 0, self._filled)
        if end < 0:
            return
        status, *fields = bytes(self._buffer[:end]).lower().split(b"\r\n")
        if not status.startswith((b"http/1.1 200", b"http/1.1 204")):
            raise SystemExit(f"answered {bytes(self._buffer[: self._filled])[:2000]!r}")
        named = dict(field.split(b":", 1) for field in fields)
        self._body_at = end + 4
        self._whole = self._body_at + int(named.get(b"content-length", b"0"))


def post(body: bytes, path: str = "/graphql") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def run(
    port: int, next_request: Callable[[], bytes], fits: Callable[[memoryview], bool], *, clients: int, for_s: float
) -> Load:
    """Keep `clients` connections asking for `for_s` seconds; an answer that does not fit ends the measurement."""
    selector = selectors.DefaultSelector()
    for _ in range(clients):
        connection = Connection(port)
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.send(next_request())
    latencies_ms: list[float] = []
    began, began_cpu = time.perf_counter(), time.process_time()
    end, running = began + for_s, clients
    while running:
        for key, _ in selector.select(ANSWER_S):
            connection = key.data
            if (body := connection.receive()) is None:
                continue
            now = time.perf_counter()
            latencies_ms.append((now - connection.began) * 1000)
            if not fits(body):
                raise SystemExit(f"an answer does not fit: {bytes(body[:2000])!r}")
            body.release()
            if now < end:
                connection.send(next_request())
            else:
                running -= 1
                selector.unregister(connection.socket)
                connection.socket.close()
    took = time.perf_counter() - began
    return Load(len(latencies_ms) / took, latencies_ms, (time.process_time() - began_cpu) / took)
