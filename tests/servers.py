"""Servers of the tests: each a process of its own with an explicit environment, gone when the tests are."""

from __future__ import annotations

import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2

from emulator import valkey
from emulator.lifeline import die_with_parent
from tests.processes import children

ROOT = Path(__file__).resolve().parent.parent
WAIT_S = 30.0
POLL_S = 0.02
PORTS = 12
"""As many ports as the emulator needs."""

# Waits at the end of a pipe, and kills a whole group once the tests are gone: gunicorn's worker is a grandchild.
_GUARD = 'read -r group; cat; kill -s KILL -- "-$group"'


class Server:
    """A running process, its address and what it has written."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, output: Path) -> None:
        self.process, self.port, self._output = process, port, output

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def lines(self) -> list[str]:
        """What it wrote so far, standard error too."""
        return self._output.read_text().splitlines()

    def kill(self) -> None:
        """End it at once, with its children."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def signal_instance(self, number: int) -> int:
        """Send a signal to the process that serves a function's requests; if it ends, gunicorn starts another."""
        [instance] = children(self.process.pid)
        os.kill(instance, number)
        return instance


def free_port() -> int:
    """A port that nobody listens on, and eleven more above it; none is given twice within a while."""
    while True:
        first = next(_firsts)
        with ExitStack() as stack:
            try:
                for port in range(first, first + PORTS):
                    probe = stack.enter_context(socket.socket())
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
                    probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return first


def _candidates() -> Iterator[int]:
    """Ports below those that the kernel gives to outgoing connections, and different ones for each test process."""
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 11
    blocks = 2_000 // PORTS
    for block in itertools.count(random.randrange(blocks)):
        yield 10_000 + process * 2_000 + block % blocks * PORTS


_firsts = _candidates()


def machine() -> dict[str, str]:
    """The variables of the shell that any program needs, and no others."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV") if name in os.environ}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def poll(condition: Callable[[], bool], what: str, *, within_s: float = WAIT_S) -> None:
    """Return as soon as `condition` holds; fail with `what` after `within_s`."""
    end_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end_s, what
        time.sleep(POLL_S)


@contextmanager
def running(
    command: Sequence[str], port: int, answers: Callable[[Server], bool], environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Start `command`, wait until it answers, and end it with all its children afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output"
        with output.open("wb") as written:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**machine(), "XDG_RUNTIME_DIR": folder, **(environment or {})},  # for gunicorn's own socket
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        server, guard = Server(process, port, output), _guard(process.pid)
        try:
            poll(lambda: process.poll() is not None or answers(server), f"{command[0]} does not answer")
            assert process.poll() is None, "\n".join(server.lines)
            yield server
        finally:
            if guard.stdin:
                guard.stdin.close()
            guard.wait()
            process.wait()


def _guard(group: int) -> subprocess.Popen[bytes]:
    guard = subprocess.Popen(
        ["/bin/sh", "-c", _GUARD], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert guard.stdin
    guard.stdin.write(f"{group}\n".encode())
    guard.stdin.flush()
    return guard


def a_valkey(*options: str) -> Iterator[Server]:
    """A real Valkey server, set up as the cloud's Memorystore is, but for `options`."""
    port = free_port()
    with running([*valkey.command(port), *options], port, _pongs) as server:
        yield server


def a_stand_in(name: str, *options: str) -> Iterator[Server]:
    """One of the emulator's stand-ins."""
    port, path = free_port(), {"gemini": "/calls", "pubsub": "/stats"}[name]
    command = [sys.executable, "-m", f"emulator.{name}", "--port", str(port), *options]
    with running(command, port, lambda server: _answers(server, path)) as server:
        yield server


def function_command(name: str, port: int) -> list[str]:
    """The command that starts a function as the platform does."""
    return [
        str(Path(sys.executable).with_name("functions-framework")),
        *("--target", name, "--source", str(ROOT / "functions" / name / "main.py")),
        *("--host", "127.0.0.1", "--port", str(port)),
    ]


def a_function(name: str, environment: Mapping[str, str]) -> Iterator[Server]:
    """One of the functions under functions-framework, with these settings and no others."""
    port = free_port()
    with running(function_command(name, port), port, lambda server: _answers(server, "/up"), environment) as server:
        yield server


running_function = contextmanager(a_function)


def _answers(server: Server, path: str) -> bool:
    try:
        return httpx2.get(f"{server.url}{path}", trust_env=False, timeout=WAIT_S).status_code == 200
    except httpx2.TransportError:
        return False


def _pongs(server: Server) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
