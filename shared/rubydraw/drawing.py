"""A drawing: the clean picture and what the model says about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple


class CacheUse(StrEnum):
    """Which drawings may answer. USE: a kept or else a new one; REFRESH: a new one, in its place; ONLY: a kept one."""

    USE = "USE"
    REFRESH = "REFRESH"
    ONLY = "ONLY"


@dataclass(frozen=True, slots=True)
class Drawing:
    """
    What a client gets, and Redis keeps.

    `image`: a PNG, or `b""` if it was not asked for. `provider_ms`: how long Gemini took. `created_at_ms`: when Gemini
    had answered, in ms since 1970. `image_sha256`: hex, or `""` if an older revision stored the drawing and the image
    was not read.
    `fallback_metadata`: the model's metadata could not be read, so this drawing is kept for a short time only.
    """

    image: bytes
    title: str
    style: str
    palette: tuple[str, ...]
    background: str
    notes: str
    model: str
    prompt_version: str
    provider_ms: int
    created_at_ms: int
    fallback_metadata: bool = False
    image_sha256: str = ""

    def __post_init__(self) -> None:
        if self.image and not self.image_sha256:
            object.__setattr__(self, "image_sha256", hashlib.sha256(self.image).hexdigest())


class Improved(NamedTuple):
    """
    A drawing, the digest that it is kept under, and how it was obtained: `HIT`, `MISS`, `COALESCED` or `ARCHIVE`.

    `answered`: what Redis answered to the `then` of the wish; None if that was not run.
    """

    digest: str
    drawing: Drawing
    outcome: str
    answered: Any = None
