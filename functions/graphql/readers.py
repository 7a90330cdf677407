"""How long a request's body may take: until it is here, it takes up the room of all others."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

from parameters import BadRequest

BODY_S = 30.0
"""For a body to come whole, or a quarter more. A sketch of 1 MB needs 0.4 Mbit/s."""


class Readers:
    """Those who read a body now. One timer looks after all: one for each would be 6 % of a small request."""

    def __init__(self) -> None:
        self._at_it: set[_Reader] = set()
        self._looks = False

    def reading(self) -> _Reader:
        """Return a context for the current task to read a body in; it raises BadRequest for one that takes too long."""
        return _Reader(self)

    def begin(self, reader: _Reader) -> None:
        self._at_it.add(reader)
        if not self._looks:
            self._looks = True
            asyncio.get_running_loop().call_later(BODY_S / 4, self._look)

    def end(self, reader: _Reader) -> None:
        self._at_it.remove(reader)

    def _look(self) -> None:
        now_s = time.monotonic()
        for reader in self._at_it:
            if now_s - reader.began_s >= BODY_S:
                reader.give_up()
        self._looks = bool(self._at_it)
        if self._looks:
            asyncio.get_running_loop().call_later(BODY_S / 4, self._look)


class _Reader:
    __slots__ = ("_late", "_readers", "_task", "began_s")

    def __init__(self, readers: Readers) -> None:
        self._readers, self._late = readers, False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task  # noqa: S101 - a coroutine that runs on a loop runs in one
        self._task, self.began_s = task, time.monotonic()
        self._readers.begin(self)

    def give_up(self) -> None:
        if not self._late:
            self._late = True
            self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._readers.end(self)
        if self._late and kind is asyncio.CancelledError and self._task.uncancel() == 0:
            told = f"The body was not here after {BODY_S:.0f} s."
            raise BadRequest(408, told, {"connection": "close"}) from None
