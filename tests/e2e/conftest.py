"""The whole laptop as its user runs it: `python -m emulator` in a process, with an environment of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.e2e.redis_server import RedisServer, redis_server
from tests.e2e.sketch_client import SketchClient, client_of
from tests.processes import processes
from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 30.0


class Laptop:
    """A running emulator: what it told, where its parts are, which processes it has."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self._folder = folder

    @property
    def lines(self) -> list[str]:
        """What it told on stdout so far, whole lines only."""
        return (self._folder / "stdout").read_text().rpartition("\n")[0].splitlines()

    @property
    def logs(self) -> list[str]:
        """What went to stderr so far: the parts' own output, each line after the part's name."""
        return (self._folder / "stderr").read_text().rpartition("\n")[0].splitlines()

    @property
    def addresses(self) -> dict[str, str]:
        """The address of each part by its name."""
        told = self.lines[: next(n for n, line in enumerate(self.lines) if line.startswith("ready "))]
        return {line.split()[0]: line.split(maxsplit=1)[1] for line in told}

    @property
    def endpoint(self) -> str:
        """The GraphQL endpoint."""
        return self.line("ready ").removeprefix("ready ")

    def line(self, start: str) -> str:
        """The first line that starts like this, waited for."""
        self.until(lambda: any(line.startswith(start) for line in self.lines))
        return next(line for line in self.lines if line.startswith(start))

    def until(self, condition: Callable[[], bool]) -> None:
        """Poll to a deadline, or until the emulator ends."""
        end_s = time.monotonic() + WAIT_S
        while not condition():
            assert self.process.poll() is None, f"the emulator ended: {self.logs[-1:]}"
            assert time.monotonic() < end_s, f"waited {WAIT_S} s in vain; told: {self.lines}"
            time.sleep(0.02)

    def processes(self, containing: str = "", *, generations: int = 4) -> set[int]:
        """The ids of its children (and theirs) with this in their command line."""
        listed = list(processes())
        family = {self.process.pid}
        for _ in range(generations):
            family |= {pid for pid, parent, *_ in listed if parent in family}
        family.discard(self.process.pid)
        return {pid for pid, _, state, args in listed if pid in family and state != "Z" and containing in args}

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for its end; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


@contextmanager
def laptop(folder: Path, *command: str, **settings: str) -> Iterator[Laptop]:
    """Start it with these settings and nothing else of this process's environment; end it afterwards.

    `command` starts it in another way.
    """
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment["MAKELEVEL"] = "1"  # so that it ends with this process, however that ends
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            command or [sys.executable, "-m", "emulator"],
            cwd=ROOT,
            env=environment | {"PORT": str(free_port())} | settings,
            stdout=stdout,
            stderr=stderr,
        )
    try:
        yield Laptop(process, folder)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(WAIT_S)


StartLaptop = Callable[..., Laptop]


@pytest.fixture
def start_laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartLaptop]:
    """Starts one with settings of the test's own; ended after the test."""
    with ExitStack() as stack:

        def start(*command: str, **settings: str) -> Laptop:
            return stack.enter_context(laptop(tmp_path_factory.mktemp("laptop"), *command, **settings))

        yield start


@pytest.fixture(scope="module")
def redis_of_module() -> Iterator[RedisServer]:
    with redis_server(free_port()) as server:
        yield server


@pytest.fixture
def redis(redis_of_module: RedisServer) -> Iterator[RedisServer]:
    """A Redis that a test may stop, hang, flush and set up otherwise."""
    yield redis_of_module
    redis_of_module.restart()


@pytest.fixture(scope="module")
def fleet(redis_of_module: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """Two instances of each function over that Redis, with short leases; shared by a module's tests."""
    short = {"LEASE_MS": "15000", "HEARTBEAT_MS": "1000", "MAX_IN_FLIGHT": "60", "GEMINI_TIMEOUT_S": "20"}
    settings = {"INSTANCES": "2", "REDIS_URL": redis_of_module.url, **short}
    with laptop(tmp_path_factory.mktemp("fleet"), **settings) as running:
        assert running.endpoint
        yield running


@pytest.fixture
async def client(fleet: Laptop, redis_of_module: RedisServer) -> AsyncIterator[SketchClient]:
    """A client of the fleet, with nothing left of the test before: no key, no fault, no call, no message."""
    async with client_of(fleet.addresses) as one:
        await one.fresh(redis_of_module)
        yield one


@pytest.fixture(scope="session")
def shared_laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """One for all tests that leave it as they found it: ready, with every setting at its default."""
    with laptop(tmp_path_factory.mktemp("laptop")) as running:
        assert running.endpoint
        yield running
