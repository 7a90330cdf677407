"""Runs one function as the platform does, in limited memory and with its surroundings, and measures its memory."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import httpx2

from bench.servers import ALLOCATOR, UNLIMITED
from emulator import valkey

ROOT = Path(__file__).resolve().parents[1]
CGROUPS = Path("/sys/fs/cgroup/memory")
MIB = 1024 * 1024
WAIT_S = 180.0


class Instance:
    """One function as the platform runs it, and the memory of its processes."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.url, self.peak = url, 0.0
        self._process = process

    def alive(self) -> bool:
        return self._process.poll() is None

    def pss(self, *, serving: bool = False) -> float:
        """Return the MiB that its processes hold together; with `serving`, without the one that watches the others."""
        total = 0.0
        for pid in (*(() if serving else (self._process.pid,)), *_children(self._process.pid)):
            with suppress(OSError):
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
        return total

    def cpu_s(self) -> float:
        """Return the seconds of CPU that its processes have taken."""
        ticks = 0
        for pid in (self._process.pid, *_children(self._process.pid)):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    async def steady(self) -> float:
        """Return the size once it does not change any more."""
        before = -1.0
        async with asyncio.timeout(WAIT_S):
            while abs((now := await asyncio.to_thread(self.pss)) - before) > 0.5:
                before = now
                await asyncio.sleep(0.7)
        return now

    async def watch(self) -> None:
        while True:
            self.peak = max(self.peak, await asyncio.to_thread(self.pss))
            await asyncio.sleep(0.05)


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def limited(memory_mib: int) -> Iterator[list[str]]:
    """Make a cgroup of this size; yield the words that start a command in it, none if we may not make one."""
    group = CGROUPS / f"rubydraw-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(memory_mib * MIB))
    except OSError:
        yield []
        return
    try:
        yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
    finally:
        with suppress(OSError):
            group.rmdir()


def machine() -> dict[str, str]:
    """Return the environment variables that any program needs, and no others."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


@contextmanager
def running(command: list[str], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, cwd=ROOT, env=machine() | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(40)


@asynccontextmanager
async def instance(target: str, memory_mib: int, **settings: str) -> AsyncIterator[Instance]:
    port = free_port()
    framework = str(Path(sys.executable).with_name("functions-framework"))
    source = str(ROOT / "functions" / target / "main.py")
    with limited(memory_mib) as start:
        command = [
            *start,
            framework,
            "--target",
            target,
            "--source",
            source,
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        with running(command, **settings) as process:
            it = Instance(process, f"http://127.0.0.1:{port}")
            await until(lambda: answers(f"{it.url}/up"))
            watching = asyncio.create_task(it.watch())
            try:
                yield it
            finally:
                watching.cancel()


async def answers(url: str) -> bool:
    with suppress(httpx2.TransportError):
        async with httpx2.AsyncClient(trust_env=False) as http:
            return (await http.get(url)).is_success
    return False


async def until(met: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await met():  # noqa: ASYNC110 – what is waited for happens in other processes
            await asyncio.sleep(0.05)


@contextmanager
def surroundings(*gemini_options: str) -> Iterator[tuple[dict[str, str], str]]:
    """Run Valkey and Gemini; yield the settings of a function beside them, and Gemini's address."""
    redis, gemini = free_port(), free_port()
    with (
        tempfile.TemporaryDirectory() as folder,
        running([*valkey.command(redis), "--maxmemory", "3gb", "--dir", folder]),
        running([sys.executable, "-m", "bench.barrier", "--port", str(gemini), *gemini_options]),
    ):
        url = f"http://127.0.0.1:{gemini}"
        settings = {"REDIS_URL": f"redis://127.0.0.1:{redis}/0", "GEMINI_API_KEY": "none", "GEMINI_BASE_URL": url}
        yield {**settings, **UNLIMITED, **ALLOCATOR, "ACCESS": "off", "LOG_LEVEL": "ERROR"}, url
