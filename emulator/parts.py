"""Parts are processes: started together, watched, started again when they die, ended together."""

import asyncio
import os
import re
import signal
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, Process
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from emulator.lifeline import Guard, die_with_parent

ROOT = Path(__file__).resolve().parent.parent

_POLL_S = 0.05
_START_S = 30.0
_ELSEWHERE_S = 5.0  # for a part that runs already, or almost
_GRACE_S = 10.0  # what Cloud Run leaves an instance after SIGTERM
_PAUSES_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
_STEADY_S = 10.0  # a part that ran for as long as this starts again without a pause
_LINE_BYTES = 2**20
_READ_S = 1.0


class CannotStart(Exception):
    """One sentence for the person at the terminal."""


@dataclass(frozen=True)
class Part:
    """One part; without a command it runs elsewhere, and is only asked whether it answers."""

    name: str
    address: str
    answers: Callable[[], Awaitable[bool]]
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[], Awaitable[None]] | None = None
    stage: int = 0
    """Lower stages are ended first."""
    quiet: bool = False
    """Its output is of interest only when it cannot start."""
    note: str = ""
    """What a person at the terminal should know of it."""


def tell(line: str, stream: TextIO = sys.stdout) -> None:
    """Tell the person at the terminal; that nobody is there, or that the disk is full, is no reason to stop."""
    with suppress(OSError):
        print(line, file=stream, flush=True)


class Keeper:
    """Keeps one part running."""

    def __init__(self, part: Part, folder: Path, changed: Callable[[], None]) -> None:
        self.part = part
        self.ready = asyncio.Event()
        self.process: Process | None = None
        self.group: int | None = None
        """The process group, as long as any process of it may run."""
        self._folder = folder
        self._changed = changed
        self._lines: deque[str] = deque(maxlen=200)
        self._reading: asyncio.Task[None] | None = None

    async def keep(self) -> None:
        """Start the part, and start it again each time it ends. Raises CannotStart for the first start only."""
        await self._start()
        self.ready.set()
        if not self.part.quiet:
            for line in self._lines:
                self._show(line)
        if not self.part.command:
            return
        pauses = iter(_PAUSES_S)
        while True:
            started_s = time.monotonic()
            how = await self._ended()
            if time.monotonic() - started_s >= _STEADY_S:
                pauses = iter(_PAUSES_S)
            pause_s = next(pauses, _PAUSES_S[-1])
            again = f"starting it again in {pause_s:g} s" if pause_s else "starting it again"
            tell(f"{self.part.name:<10}{how}: {again}")
            await asyncio.sleep(pause_s)
            with suppress(CannotStart):  # the next round says how it ended
                await self._start()

    async def end(self) -> None:
        """Ask the part to end; after the grace period, or when cancelled, kill what is left of its group."""
        if self.process is None:
            return
        try:
            with suppress(ProcessLookupError):
                self.process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), _GRACE_S)
        finally:
            self._kill()
        await self._ended()

    async def _start(self) -> None:
        part = self.part
        if part.command:
            await self._spawn()
        try:
            async with asyncio.timeout(_START_S if part.command else _ELSEWHERE_S):
                while not await part.answers():
                    if self.process and self.process.returncode is not None:
                        raise CannotStart(f"{part.name} cannot start: {await self._last_words()}")
                    await asyncio.sleep(_POLL_S)
                if part.prepare:
                    await part.prepare()
        except (OSError, CannotStart) as error:  # a timeout is an OSError, too
            self._kill()
            if isinstance(error, CannotStart):
                raise
            raise CannotStart(f"{part.name} at {part.address} does not answer") from None

    async def _spawn(self) -> None:
        self._lines.clear()
        self._folder.mkdir(exist_ok=True)
        reading, writing = os.pipe()  # our own: with asyncio's, `wait` also waits for all processes that inherit it
        try:
            self.process = await asyncio.create_subprocess_exec(
                *self.part.command,
                stdin=DEVNULL,
                stdout=writing,
                stderr=writing,
                cwd=ROOT,
                # gunicorn puts its control socket into this folder. By default there is one in $HOME for all: the
                # parts took it from each other, and from any other gunicorn of this user.
                env={**self.part.environment, "XDG_RUNTIME_DIR": str(self._folder)},
                start_new_session=True,  # so that Ctrl-C reaches the emulator alone, which ends all in order
                preexec_fn=die_with_parent(),
            )
        except OSError as error:
            os.close(reading)
            raise CannotStart(f"{self.part.name} cannot start: {error}") from None
        finally:
            os.close(writing)
        self.group = self.process.pid
        self._changed()
        self._reading = asyncio.create_task(self._read(reading))

    async def _read(self, pipe: int) -> None:
        output = asyncio.StreamReader(_LINE_BYTES)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(output), os.fdopen(pipe)
        )
        while True:
            try:
                line = await output.readline()
            except ValueError:  # longer than anybody wants to read: dropped
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            self._lines.append(text)
            if self.ready.is_set() and not self.part.quiet:
                self._show(text)

    def _show(self, line: str) -> None:
        tell(f"{self.part.name:<10}| {line}", sys.stderr)

    async def _ended(self) -> str:
        """Wait for its end, clear its group away, and say how it ended."""
        if self.process is None:
            return "not started"
        status = await self.process.wait()
        self._kill()  # gunicorn's worker outlives its master, and would keep the port
        self.group = None
        self._changed()
        if self._reading:
            await asyncio.wait([self._reading], timeout=_READ_S)
        return f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"

    def _kill(self) -> None:
        if self.group:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.group, signal.SIGKILL)

    async def _last_words(self) -> str:
        """The last line it wrote and, of a traceback, the place."""
        how = await self._ended()
        lines = [line for line in self._lines if line]
        places = re.findall(r'^ +File "(.+)", line (\d+)', "\n".join(lines), re.MULTILINE)
        if not lines:
            return how
        place = f" ({places[-1][0].removeprefix(f'{ROOT}/')}, line {places[-1][1]})" if places else ""
        return lines[-1].strip() + place


async def run(parts: Sequence[Part], announce: Callable[[], None]) -> None:
    """Run all parts until cancelled; call `announce` once all answer.

    Raises CannotStart when one does not come up. When this returns, no process and no file is left.
    """
    folder = tempfile.mkdtemp(prefix="emulator-")
    guard = await Guard.start(folder)
    keepers: list[Keeper] = []

    def changed() -> None:
        guard.watch(keeper.group for keeper in keepers if keeper.group)

    keepers += [Keeper(part, Path(folder, part.name), changed) for part in parts]

    async def announce_when_ready() -> None:
        for keeper in keepers:
            await keeper.ready.wait()
        announce()

    work = [asyncio.create_task(keeper.keep()) for keeper in keepers]
    work.append(asyncio.create_task(announce_when_ready()))
    try:
        await asyncio.gather(*work)
    finally:
        for task in work:
            task.cancel()
        await asyncio.wait(work)
        try:
            for stage in sorted({part.stage for part in parts}):
                await asyncio.gather(*(k.end() for k in keepers if k.part.stage == stage))
        finally:
            await guard.dismiss()
