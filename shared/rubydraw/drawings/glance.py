"""A glance: reads a drawing without its image, as part of a round trip to Redis that is made anyway."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from rubydraw.drawing import Drawing
from rubydraw.drawings import results
from rubydraw.errors import StoreUnavailable
from rubydraw.redis.connection import Command


class Glance:
    """
    One read; or none, if it cannot join the round trip: then `taken` stays False.

    The code that makes the round trip sends `commands` and passes their answers to `read`.
    """

    def __init__(self, commands: tuple[Command, ...]) -> None:
        self.commands, self.taken = commands, False
        self._found: Drawing | None = None

    def read(self, answers: list[Any]) -> None:
        """Take the answers; where Redis refuses to read, the glance is not taken."""
        with suppress(StoreUnavailable):
            for answer in answers:
                self._found, self.taken = results.read(answer), True

    def since(self, since_ms: int | None) -> Drawing | None:
        """Return the drawing that was read, unless it was finished before `since_ms`; None stands for now."""
        found = self._found
        return found if found and since_ms is not None and found.created_at_ms >= since_ms else None
