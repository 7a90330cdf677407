"""No process outlives the emulator, however the emulator ends.

Two ties, because one alone leaves a gap. The kernel kills each direct child with its parent (Linux), and a
guard, a tiny shell that waits at the end of a pipe, kills whole process groups once the emulator is gone:
gunicorn's worker is a grandchild, and does not notice the death of its master by itself.
"""

import asyncio
import ctypes
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Iterable
from contextlib import suppress

_PR_SET_PDEATHSIG = 1
# Each line is the whole list of groups; the last one counts when the pipe ends.
_GUARD = 'while read -r line; do groups=$line; done; [ -z "$groups" ] || kill -s KILL -- $groups; rm -rf -- "$1"'


def die_with_parent() -> Callable[[], None] | None:
    """What a child runs before its program, so that the kernel kills it with this process (Linux only)."""
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died between the fork and the line above
            os._exit(1)

    return tie


class Guard:
    """When this process ends, kills the process groups it was last told of, and removes a folder."""

    def __init__(self, process: Process, pipe: int) -> None:
        self._process = process
        self._pipe = pipe

    @classmethod
    async def start(cls, folder: str) -> "Guard":
        """Start a guard in a session of its own, where no signal of the terminal reaches it; it removes `folder`."""
        reading, writing = os.pipe()
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", _GUARD, "guard", folder),
            stdin=reading,
            stdout=DEVNULL,
            stderr=DEVNULL,
            env={},
            start_new_session=True,
        )
        os.close(reading)
        return cls(process, writing)

    def watch(self, groups: Iterable[int]) -> None:
        """Replace the list of groups."""
        with suppress(BrokenPipeError):
            os.write(self._pipe, (" ".join(f"-{group}" for group in groups) + "\n").encode())

    async def dismiss(self) -> None:
        """End the guard; it kills the groups that it was last told of, and removes the folder."""
        os.close(self._pipe)
        await self._process.wait()
