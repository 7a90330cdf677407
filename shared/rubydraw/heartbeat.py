"""A heartbeat: calls a coroutine at intervals while a block runs, to renew leases and flights."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager


@contextmanager
def beating(every_s: float, beat: Callable[[], Awaitable[object]]) -> Iterator[None]:
    """Call `beat` every `every_s` seconds until the end of the block; a shorter block costs a timer and no task."""
    loop = asyncio.get_running_loop()
    task: asyncio.Task[None] | None = None

    async def beats() -> None:
        while True:
            await beat()
            await asyncio.sleep(every_s)

    def begin() -> None:
        nonlocal task
        task = loop.create_task(beats())

    first = loop.call_later(every_s, begin)
    try:
        yield
    finally:
        first.cancel()
        if task:
            task.cancel()
