"""Gives up waiting for Redis, but not because this process was slow itself."""

from __future__ import annotations

import asyncio
from types import TracebackType

SLICES = 10
"""Turns that even the busiest event loop has before Redis is judged. To connect and ask takes 5, and 7 over TLS."""


class Patience:
    """
    Ends its block with TimeoutError after so many seconds of an event loop that is never late.

    They are counted in slices. The next one begins when the loop has come to the end of the last and has read what
    came in meanwhile, so that a loop that is busy, once or all along, is late for a slice and not for the whole. A
    task of its own for each command, to wait for from outside, would cost 5 % of a status request.
    """

    def __init__(self, timeout_s: float) -> None:
        self._slice_s, self._slices = timeout_s / SLICES, SLICES
        self._expired = False

    def __enter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task else 0
        self._timer = self._loop.call_later(self._slice_s, self._next)

    def _next(self) -> None:
        self._slices -= 1
        if self._slices:
            self._timer = self._loop.call_later(self._slice_s, self._next)
        elif self._task:
            self._expired = True
            self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()
        ours_alone = self._expired and self._task and self._task.uncancel() <= self._cancelling
        if ours_alone and kind is asyncio.CancelledError:
            raise TimeoutError from error
