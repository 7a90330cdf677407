"""A glance: what Redis has of a drawing besides its image, read with a round trip that is made anyway."""

from __future__ import annotations

from typing import Any

from rubydraw import results
from rubydraw.drawing import Drawing


class Glance:
    """One read; whoever makes the round trip sends `command`, and hands over what came of it."""

    def __init__(self, digest: str) -> None:
        self.command = results.read_command(digest, with_image=False)
        self._found: Drawing | None = None

    def read(self, answer: Any) -> None:
        self._found = results.read(answer)

    def since(self, since_ms: int | None) -> Drawing | None:
        """Return what was seen, unless it was finished before that."""
        found = self._found
        return found if found and since_ms is not None and found.created_at_ms >= since_ms else None
