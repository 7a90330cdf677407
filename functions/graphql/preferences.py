"""What a request's Prefer header asks for (RFC 7240)."""

from __future__ import annotations

import re
from typing import NamedTuple

LONGEST_WAIT_S = 60

_PREFERENCE = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*+"?)++')
"""A comma inside a quoted string separates nothing (RFC 9110, 5.6.4). Possessive: no header takes long to match."""
_WAIT = re.compile(r"wait\s*=\s*\"?([0-9]+)\"?")


class Preferences(NamedTuple):
    """Whether to answer before the work is done, and how long to wait for it first."""

    respond_async: bool = False
    wait_s: int = 0


def preferences(prefer: str | None) -> Preferences:
    """Read the header; a wait beyond LONGEST_WAIT_S is not an error, and becomes LONGEST_WAIT_S."""
    if prefer is None:
        return Preferences()
    parts = _PREFERENCE.findall(prefer)
    prefers = [part.partition(";")[0].strip().lower() for part in parts]  # parameters are ignored
    waits = [wait.group(1) for wait in map(_WAIT.fullmatch, prefers) if wait]
    wait_s = int(waits[0].lstrip("0")[:3] or 0) if waits else 0  # three digits show that it is too long
    return Preferences("respond-async" in prefers, min(wait_s, LONGEST_WAIT_S))
