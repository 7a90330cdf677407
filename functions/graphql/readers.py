"""Limits how long the body of a request may take: until it is complete, it takes up room that others need."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from incoming import Incoming
from parameters import Parameters, from_body
from refusal import Refused

BODY_S = 30.0
"""The time for a whole body, enforced up to a quarter late. A sketch of 1 MB needs 0.4 Mbit/s."""


class Readers:
    """The tasks that read a body now. One timer watches them all: one for each would be 6 % of a small request."""

    def __init__(self) -> None:
        self._since_s: dict[asyncio.Task[Any], float] = {}
        self._looks = False

    async def parameters(self, incoming: Incoming) -> Parameters:
        """Read a POST request as `from_body` does; also raise Refused if its body takes too long."""
        task = asyncio.current_task()
        assert task  # noqa: S101 - a coroutine that runs on a loop runs in one
        self._since_s[task] = time.monotonic()
        if not self._looks:
            self._look_later()
        try:
            return await from_body(incoming)
        except asyncio.CancelledError:
            if task in self._since_s or task.uncancel():  # cancelled by somebody else
                raise
            told = f"The body did not arrive within {BODY_S:.0f} s."
            raise Refused(408, told, {"connection": "close"}) from None
        finally:
            self._since_s.pop(task, None)

    def _look_later(self) -> None:
        self._looks = True
        asyncio.get_running_loop().call_later(BODY_S / 4, self._look)

    def _look(self) -> None:
        now_s = time.monotonic()
        for task in [task for task, since_s in self._since_s.items() if now_s - since_s >= BODY_S]:
            del self._since_s[task]
            task.cancel()
        self._looks = False
        if self._since_s:
            self._look_later()
