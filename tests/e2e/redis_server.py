"""A Redis of the test's own, to be stopped, hung, flushed and restarted under the running service."""

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from emulator import valkey


class RedisServer:
    """A real Valkey on a fixed port."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"redis://127.0.0.1:{port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(valkey.command(self.port), stdout=subprocess.DEVNULL)
        end_s = time.monotonic() + 10
        while self.command("PING") != b"+PONG\r\n":
            assert time.monotonic() < end_s
            time.sleep(0.01)

    def stop(self) -> None:
        """Kill it: connections are refused from now on."""
        if self._process:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait(10)

    def restart(self) -> None:
        """Replace it, whatever has become of it, by an empty one with its first settings."""
        self.stop()
        self.start()

    def hang(self) -> None:
        """Stop its process in its tracks: connections are accepted, nothing is answered."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def command(self, *words: str) -> bytes:
        """Send one command; return the raw answer, or nothing where nobody listens."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall((" ".join(words) + "\r\n").encode())
                return connection.recv(65536)
        except OSError:
            return b""


@contextmanager
def redis_server(port: int) -> Iterator[RedisServer]:
    """Run one for a while."""
    server = RedisServer(port)
    server.start()
    try:
        yield server
    finally:
        server.stop()
