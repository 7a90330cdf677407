"""A graceful stop: SIGTERM ends what can end within seconds, then the server's own handler ends the server."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

from rubydraw import logs

GRACE_S = 6.0
"""Time for paid calls to end. Cloud Run kills the process 10 s after SIGTERM, and settling takes up to 2 s."""
ENOUGH_S = 8.0
"""After this long the process exits: the server would go on waiting for clients that do not read."""


class Stop:
    """
    Whether this instance is going away.

    functions-framework has no lifespan hook, and while requests run its server waits longer than the platform does.
    So the first request installs this in front of the server's handler; from the signal on, nothing new is begun.
    """

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._ending: asyncio.Task[None] | None = None

    @property
    def requested(self) -> bool:
        return self._event.is_set()

    async def sleep(self, seconds: float) -> None:
        """Sleep for so many seconds, or until a stop is requested."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            pass

    def chain(self, let_go: Callable[[], None], wind_up: Callable[[float], Awaitable[None]]) -> None:
        """
        On SIGTERM call `let_go`, await `wind_up(GRACE_S)`, then do what the signal would do otherwise.

        Must be called on the main thread's loop.
        """
        loop, server = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)

        def on_signal(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(begin, number, frame)

        def begin(number: int, frame: FrameType | None) -> None:
            if not self.requested:
                let_go()
                self._begin(wind_up, server, number, frame)

        signal.signal(signal.SIGTERM, on_signal)

    def _begin(self, wind_up: Callable[[float], Awaitable[None]], server: Any, number: int, frame: Any) -> None:
        self._event.set()
        self._ending = asyncio.create_task(self._end(wind_up, server, number, frame))

    async def _end(self, wind_up: Callable[[float], Awaitable[None]], server: Any, number: int, frame: Any) -> None:
        logs.info("instance.stopping")
        loop = asyncio.get_running_loop()
        last_s = loop.time() + ENOUGH_S
        try:
            await wind_up(GRACE_S)
        finally:
            if callable(server):
                server(number, frame)
                loop.call_at(last_s, os._exit, 0)
            else:
                signal.signal(number, server)
                signal.raise_signal(number)
