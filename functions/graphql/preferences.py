"""What a request's Prefer header asks for (RFC 7240)."""

from __future__ import annotations

import re
from typing import NamedTuple

LONGEST_WAIT_S = 60

_WAIT = re.compile(r"wait\s*=\s*\"?([0-9]{1,9})\"?")


class Preferences(NamedTuple):
    """Whether to answer before the work is done, and how long to wait for it first."""

    respond_async: bool = False
    wait_s: int = 0


def preferences(prefer: str | None) -> Preferences:
    """Read the header; what it asks for beyond the longest wait is no mistake, but a preference."""
    if prefer is None:
        return Preferences()
    prefers = [part.partition(";")[0].strip().lower() for part in prefer.split(",")]  # their parameters mean nothing
    waits = [wait.group(1) for wait in map(_WAIT.fullmatch, prefers) if wait]
    return Preferences("respond-async" in prefers, min(int(waits[0]), LONGEST_WAIT_S) if waits else 0)
