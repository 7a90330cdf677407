"""Gives up waiting for Redis, but not because this process was slow itself."""

from __future__ import annotations

import asyncio
from types import TracebackType

GRACE_S = 0.02


class Patience:
    """
    Ends its block with TimeoutError after so many seconds.

    Where the event loop was late by then, what came in meanwhile is read before Redis is judged. A task of its own
    for each command, to wait for from outside, would cost 5 % of a status request.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._expired = False

    def __enter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task else 0
        self._until = self._loop.time() + self._timeout_s
        self._timer = self._loop.call_at(self._until, self._judge)

    def _judge(self) -> None:
        late_s = self._loop.time() - self._until
        self._timer = self._loop.call_later(min(late_s, self._timeout_s) + GRACE_S, self._expire)

    def _expire(self) -> None:
        self._expired = True
        if self._task:
            self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()
        ours_alone = self._expired and self._task and self._task.uncancel() <= self._cancelling
        if ours_alone and kind is asyncio.CancelledError:
            raise TimeoutError from error
