"""How long a request's body may take: until it is here, it takes up the room of all others."""

from __future__ import annotations

import asyncio
from types import TracebackType

BODY_S = 30.0
"""For a body to come whole, or a quarter more. A sketch of 1 MB needs 0.4 Mbit/s."""


class Readers:
    """
    The tasks that read a body; in `with readers:`, one that takes too long gets TimeoutError.

    One timer looks after all of them: one of its own for each would be 6 % of a small request.
    """

    def __init__(self) -> None:
        self._began_s: dict[asyncio.Task[object], float] = {}
        self._late: set[asyncio.Task[object]] = set()
        self._looks = False

    def __enter__(self) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task  # noqa: S101 - a coroutine that runs on a loop runs in one
        self._began_s[task] = loop.time()
        if not self._looks:
            self._looks = True
            loop.call_later(BODY_S / 4, self._look)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        task = asyncio.current_task()
        assert task  # noqa: S101
        del self._began_s[task]
        if task in self._late:
            self._late.remove(task)
            if not task.uncancel() and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        for task, began_s in self._began_s.items():
            if loop.time() - began_s >= BODY_S and task not in self._late:
                self._late.add(task)
                task.cancel()
        self._looks = bool(self._began_s)
        if self._looks:
            loop.call_later(BODY_S / 4, self._look)
