"""The command line as its user runs it, `python -m cli` in a process, against a whole laptop."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.conftest import ROOT, WAIT_S, Laptop, laptop
from tests.sketches import png

PNG = b"\x89PNG\r\n\x1a\n"


@contextmanager
def listening(answer: bytes) -> Iterator[str]:
    """A server that gives every caller the same bytes; its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            try:
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(answer)
            except OSError:
                return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/graphql"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def http(status: str, body: bytes, kind: str = "application/json", *headers: str) -> bytes:
    """A whole HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", "connection: close"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


@dataclass(frozen=True)
class Ended:
    """What came of one run."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        (line,) = self.out.splitlines()
        told: dict[str, Any] = json.loads(line)
        return told

    @property
    def sentence(self) -> str:
        """The last line on standard error."""
        assert "Traceback" not in self.err
        return self.err.splitlines()[-1]


class Cli:
    """Runs commands with an environment of their own."""

    def __init__(self, **environment: str) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.environment = kept | {"TERM": "xterm"} | environment

    def run(self, *arguments: object, **environment: str) -> Ended:
        """Run a command to its end."""
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=WAIT_S)
        return Ended(process.returncode, out, err)

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=ROOT,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @staticmethod
    def command(*arguments: object) -> list[str]:
        return [sys.executable, "-m", "cli", *map(str, arguments)]


class Service:
    """The laptop that the commands talk to, and what its Gemini stand-in is told to do."""

    def __init__(self, running: Laptop) -> None:
        self.endpoint = running.endpoint
        self.gemini = running.addresses["gemini"]

    def plays(self, **fault: object) -> None:
        """Add a fault of the next call."""
        httpx2.post(f"{self.gemini}/faults", json=[fault], trust_env=False).raise_for_status()

    def clear(self) -> None:
        """Forget faults and calls, and hold nobody back."""
        httpx2.delete(f"{self.gemini}/faults", trust_env=False)
        self.release()
        httpx2.delete(f"{self.gemini}/calls", trust_env=False)

    def release(self) -> None:
        """Let go of the calls that are held back."""
        httpx2.post(f"{self.gemini}/release", trust_env=False).raise_for_status()

    @property
    def counts(self) -> dict[str, int]:
        """How many calls there were, and how many are `waiting`."""
        counts: dict[str, int] = httpx2.get(f"{self.gemini}/calls", trust_env=False).json()
        return counts


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """Commands hear SIGINT, though a shell that starts the tests in its background has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def running_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with laptop(tmp_path_factory.mktemp("laptop"), MAX_ATTEMPTS="1") as running:
        yield Service(running)


@pytest.fixture
def service(running_service: Service) -> Iterator[Service]:
    """The laptop without faults, and without calls of the test before."""
    running_service.clear()
    yield running_service
    running_service.clear()


@pytest.fixture
def cli(service: Service) -> Cli:
    """Commands that find the laptop through the environment."""
    return Cli(RUBYDRAW_ENDPOINT=service.endpoint)


_shades = iter(range(1, 200))


@pytest.fixture
def sketch(tmp_path: Path) -> Path:
    """A sketch that no other test sends."""
    path = tmp_path / "sketch.png"
    path.write_bytes(png(next(_shades)))
    return path


@pytest.fixture
def drawing(tmp_path: Path) -> Path:
    """Where a test has its drawing saved."""
    return tmp_path / "drawing.png"
