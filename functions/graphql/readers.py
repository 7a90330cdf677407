"""How long a request's body may take: until it is here, it takes up the room of all others."""

from __future__ import annotations

import asyncio
import time
from typing import Any

BODY_S = 30.0
"""For a body to come whole, or a quarter more. A sketch of 1 MB needs 0.4 Mbit/s."""

Reader = asyncio.Task[Any]


class Readers:
    """
    The tasks that read a body; one that takes too long is cancelled, and `gave_up` tells that apart from all else.

    One timer looks after all of them: one of its own for each would be 6 % of a small request.
    """

    def __init__(self) -> None:
        self._began_s: dict[Reader, float] = {}
        self._late: set[Reader] = set()
        self._looks = False

    def begin(self) -> Reader:
        """Return the current task, to be given to `end` whatever happens."""
        task = asyncio.current_task()
        assert task  # noqa: S101 - a coroutine that runs on a loop runs in one
        self._began_s[task] = time.monotonic()
        if not self._looks:
            self._looks = True
            task.get_loop().call_later(BODY_S / 4, self._look)
        return task

    def end(self, task: Reader) -> None:
        del self._began_s[task]

    def gave_up(self, task: Reader) -> bool:
        """Whether a reader that was cancelled was so because it took too long, and for nothing else."""
        if task not in self._late:
            return False
        self._late.remove(task)
        return task.uncancel() == 0

    def _look(self) -> None:
        now_s = time.monotonic()
        for task, began_s in self._began_s.items():
            if now_s - began_s >= BODY_S and task not in self._late:
                self._late.add(task)
                task.cancel()
        self._looks = bool(self._began_s)
        if self._looks:
            asyncio.get_running_loop().call_later(BODY_S / 4, self._look)
