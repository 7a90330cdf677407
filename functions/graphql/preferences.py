"""What a request's Prefer header asks for (RFC 7240)."""

from __future__ import annotations

import re
from typing import NamedTuple

LONGEST_WAIT_S = 60

_PREFERENCE = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*+"?)++')
"""A comma inside a quoted string parts nothing (RFC 9110, 5.6.4). Possessive: no header takes long to read."""
_WAIT = re.compile(r"wait\s*=\s*\"?([0-9]+)\"?")


class Preferences(NamedTuple):
    """Whether to answer before the work is done, and how long to wait for it first."""

    respond_async: bool = False
    wait_s: int = 0


def preferences(prefer: str | None) -> Preferences:
    """Read the header; what it asks for beyond the longest wait is no mistake, but a preference."""
    if prefer is None:
        return Preferences()
    parts = _PREFERENCE.findall(prefer)
    prefers = [part.partition(";")[0].strip().lower() for part in parts]  # their parameters mean nothing
    waits = [wait.group(1) for wait in map(_WAIT.fullmatch, prefers) if wait]
    wait_s = int(waits[0].lstrip("0")[:3] or 0) if waits else 0  # the first digits say that it is too many
    return Preferences("respond-async" in prefers, min(wait_s, LONGEST_WAIT_S))
