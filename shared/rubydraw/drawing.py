"""A drawing: the clean picture and what the model says about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple


class CacheUse(StrEnum):
    """Which drawings may answer: a kept one or else a new one, a new one in its place, a kept one or none."""

    USE = "USE"
    REFRESH = "REFRESH"
    ONLY = "ONLY"


@dataclass(frozen=True, slots=True)
class Drawing:
    """
    What a client gets, and Redis keeps.

    `image`: a PNG, or `b""` where it was not asked for. `provider_ms`: what Gemini took. `created_at_ms`: ms since
    1970, when Gemini had answered. `image_sha256`: hex, or nothing where an older revision kept it and the image is
    not here.
    `fallback_metadata`: the model said nothing that could be read, so this drawing is kept for a short time only.
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
    A drawing, where it is kept, and how it was come by: `HIT`, `MISS`, `COALESCED` or `ARCHIVE`.

    `then`: what Redis answered to the `then` of the wish, None where that was not run.
    """

    digest: str
    drawing: Drawing
    outcome: str
    then: Any = None
