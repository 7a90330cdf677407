"""What the model says about its drawing: read leniently, made safe to show. Needed on a miss only."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

MAX_WORDS_CHARS = 120
MAX_NOTES_CHARS = 1_000
MAX_COLOURS = 12
MAX_COLOUR_CHARS = 32
MAX_METADATA_CHARS = 64 * 1024

# C0 and C1 controls, line separators, text direction marks, BOMs and lone surrogates: none belongs in a title.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")


def _cleaned(value: Any, max_chars: int, default: str) -> str:
    text = _UNPRINTABLE.sub(" ", value).strip()[:max_chars].strip() if isinstance(value, str) else ""
    return text or default


def _colours(value: Any) -> tuple[str, ...]:
    items = value[: MAX_COLOURS * 4] if isinstance(value, list) else []
    cleaned = (_cleaned(item, MAX_COLOUR_CHARS, "") for item in items)
    return tuple(colour for colour in cleaned if colour)[:MAX_COLOURS]


@dataclass(frozen=True)
class Metadata:
    """What the model says about its drawing; whatever is absent or of a wrong type has its default."""

    title: str = "Improved Sketch"
    style: str = "clean flat vector"
    palette: tuple[str, ...] = ()
    background: str = "transparent"
    notes: str = "Sketch improved"


def read_metadata(text: str) -> Metadata | None:
    """Find the JSON object in what the model wrote, with code fences or prose around it; None if there is none."""
    text, decoder = text[:MAX_METADATA_CHARS], json.JSONDecoder()
    for start in [found.start() for found in re.finditer(r"\{", text)][:20]:
        try:
            found, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and found.keys() & Metadata.__dataclass_fields__.keys():
            return _metadata(found)
    return None


def _metadata(found: dict[str, Any]) -> Metadata:
    return Metadata(
        title=_cleaned(found.get("title"), MAX_WORDS_CHARS, Metadata.title),
        style=_cleaned(found.get("style"), MAX_WORDS_CHARS, Metadata.style),
        palette=_colours(found.get("palette")),
        background=_cleaned(found.get("background"), MAX_WORDS_CHARS, Metadata.background),
        notes=_cleaned(found.get("notes"), MAX_NOTES_CHARS, Metadata.notes),
    )
