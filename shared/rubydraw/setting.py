"""How a setting is declared, as a field of a dataclass, and how its text becomes a value or a fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import MISSING, field, fields
from typing import Any

NEEDED: Any = MISSING
"""The default of a setting that has none."""

Reader = Callable[[str], Any]
"""Raises ValueError in words that can stand behind the name of the setting, and never shows what it was given."""


def setting(read: Reader, default: Any, description: str = "", *, secret: bool = False) -> Any:
    """Return a field that holds what `read` makes of a text; a secret one is in no repr."""
    return field(default=default, repr=not secret, metadata={"read": read, "description": description})


def read_all(kind: Any, texts: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values of the settings of a dataclass, and what is wrong with those that have none, by field."""
    values, faults = {}, {}
    for each in fields(kind):
        text = texts.get(each.name)
        if text is None and each.default is NEEDED:
            faults[each.name] = "is missing"
            continue
        try:
            values[each.name] = each.default if text is None else each.metadata["read"](text)
        except ValueError as error:
            faults[each.name] = str(error)
    return values, faults


def matching(pattern: str, allowed: str) -> Reader:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(allowed)
        return text

    return read


def one_of(*words: str) -> Reader:
    return matching("|".join(words), f"must be {', '.join(words[:-1])} or {words[-1]}")


def whole(least: int, most: int) -> Reader:
    def read(text: str) -> int:
        with suppress(ValueError):
            if least <= (value := int(text)) <= most:
                return value
        raise ValueError(f"must be a whole number from {least:,} to {most:,}")

    return read


def number(least: float, most: float) -> Reader:
    def read(text: str) -> float:
        with suppress(ValueError):
            if least <= (value := float(text)) <= most:  # as `nan` never is
                return value
        raise ValueError(f"must be a number from {least:,} to {most:,}")

    return read


def ceiling(read: Reader) -> Reader:
    """Take what `read` takes, or the word `unlimited` for None; 0 lets nothing through."""

    def read_ceiling(text: str) -> Any:
        try:
            return None if text == "unlimited" else read(text)
        except ValueError as error:
            raise ValueError(f"{error}, or unlimited") from None

    return read_ceiling


def flag(text: str) -> bool:
    said = text.lower()
    if said not in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        raise ValueError("must be true or false")
    return said in ("true", "yes", "on", "1")


def http_address(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://")
    return text.rstrip("/")


def redis_address(text: str) -> str:
    if not text.startswith(("redis://", "rediss://")):
        raise ValueError("must start with redis:// or rediss://")
    return text


def origins(text: str) -> tuple[str, ...]:
    """Take exact origins, separated by commas."""
    values = tuple(part.strip() for part in text.split(",") if part.strip())
    for value in values:
        if not value.startswith(("http://", "https://")) or value.count("/") != 2 or "*" in value:
            raise ValueError("must be exact origins such as https://draw.example, separated by commas")
    return values
