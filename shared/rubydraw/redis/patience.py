"""A time-out for Redis that does not expire because this process itself was slow."""

from __future__ import annotations

import asyncio
from types import TracebackType

SLICES = 10
"""Turns of even the busiest event loop before Redis counts as silent. To connect and ask takes 5, and 7 over TLS."""


class Patience:
    """
    Ends its block with TimeoutError after `timeout_s` seconds, not counting those for which the event loop is late.

    The seconds are counted in slices. A slice begins once the loop has handled the end of the last one and has read
    what came in meanwhile. So a loop that is busy, once or all along, uses up one slice at a time, not all of them.
    A separate task for each command, awaited from outside, would cost 5 % of a status request.
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
