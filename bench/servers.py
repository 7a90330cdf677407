"""Processes of a measurement: pinned to a core, ready once their port is open, ended with their children."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from emulator import valkey
from emulator.lifeline import die_with_parent

ROOT = Path(__file__).resolve().parents[1]
SERVER_CORE, LOAD_CORE = 0, 1
START_S = 60.0
_CEILINGS = ("DAILY_CALLS", "DAILY_DOLLARS", "PRINCIPAL_DAILY_CALLS", "PRINCIPAL_DAILY_DOLLARS")
UNLIMITED = dict.fromkeys((*_CEILINGS, "REQUESTS_PER_MINUTE", "CONCURRENT_JOBS"), "unlimited")
"""What is measured is how much a function can do, not how much it may."""
ALLOCATOR = dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(16 * 1024 * 1024))
"""As Terraform sets it for both functions; the ceilings get it too."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def machine() -> dict[str, str]:
    """The variables of the shell that any program needs, and no others."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


class Server:
    """A running process and the port that it listens on."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port

    def pss_mib(self) -> float:
        """Memory of the process and its children, pages that they share counted once (`smaps_rollup`)."""
        rollups = (Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self._pids(self.process.pid))
        lines = (line for rollup in rollups for line in rollup.splitlines() if line.startswith("Pss:"))
        return sum(int(line.split()[1]) for line in lines) / 1024

    def cpu_s(self) -> float:
        """CPU seconds, user and system, of the process and its children so far."""
        stats = (Path(f"/proc/{pid}/stat").read_text() for pid in self._pids(self.process.pid))
        ticks = sum(sum(map(int, stat.rpartition(")")[2].split()[11:13])) for stat in stats)
        return ticks / os.sysconf("SC_CLK_TCK")

    def _pids(self, root: int) -> Iterator[int]:
        yield root
        for child in Path(f"/proc/{root}/task/{root}/children").read_text().split():
            yield from self._pids(int(child))


@contextmanager
def running(
    command: Sequence[str], port: int, core: int, environment: Mapping[str, str], *, wait: bool = True
) -> Iterator[Server]:
    """Start a command on one core, wait until its port is open, and end it with all its children afterwards."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            ["taskset", "--cpu-list", str(core), *command],
            cwd=ROOT,
            env={**machine(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
        try:
            if wait and not _opens(process, port):
                output.seek(0)
                raise SystemExit(f"{' '.join(command)} did not start:\n{output.read().decode(errors='replace')}")
            yield Server(process, port)
        finally:
            _end(process)


@contextmanager
def a_valkey() -> Iterator[Server]:
    port = free_port()
    command = [*valkey.command(port), "--maxmemory", "4gb"]  # room for the pictures of all misses: no hit is evicted
    with running(command, port, LOAD_CORE, {}) as server:
        yield server


def _opens(process: subprocess.Popen[bytes], port: int) -> bool:
    end_s = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < end_s:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(15)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
