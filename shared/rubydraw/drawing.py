"""A drawing: the clean picture and what the model says about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Drawing:
    """
    What a client gets, and Redis keeps.

    `image`: a PNG. `provider_ms`: what Gemini took. `created_at_ms`: ms since 1970.
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
