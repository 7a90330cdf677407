"""A glance: what Redis has of a drawing besides its image, read with a round trip that is made anyway."""

from __future__ import annotations

from typing import Any

from rubydraw import results
from rubydraw.connection import Command
from rubydraw.drawing import Drawing


class Glance:
    """
    One read, or none where it cannot travel along: then nothing was `taken`.

    Whoever makes the round trip sends `commands`, and hands over what came of them.
    """

    def __init__(self, commands: tuple[Command, ...]) -> None:
        self.commands, self.taken = commands, False
        self._found: Drawing | None = None

    def read(self, answers: list[Any]) -> None:
        for answer in answers:
            self._found, self.taken = results.read(answer), True

    def since(self, since_ms: int | None) -> Drawing | None:
        """Return what was seen, unless it was finished before that."""
        found = self._found
        return found if found and since_ms is not None and found.created_at_ms >= since_ms else None
