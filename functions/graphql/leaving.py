"""Ends work that is done for one client alone when that client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

Done = TypeVar("Done")


async def until_gone(doing: Coroutine[Any, Any, Done], receive: Receive) -> Done | None:
    """Return the result of `doing`, or None if the client leaves first; its body must have been read before."""
    both = asyncio.create_task(doing), asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in both:
            task.cancel()
        await asyncio.wait(both)
    return None if both[0].cancelled() else both[0].result()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
