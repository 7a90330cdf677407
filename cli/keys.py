"""Makes API keys: the key for the caller, and its entry for the operator's list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.text import Text
from rubydraw import api_keys

from cli.failure import Exit, Failure
from cli.report import Report


def make(report: Report, name: str, about: Mapping[str, Any]) -> Exit:
    """Print a new key and its entry; raise Failure for a name, date or limit that no key can have."""
    try:
        key, entry = api_keys.new(name, **about)
    except ValueError as error:
        raise Failure(Exit.USAGE, f"This key cannot be made: {error}.") from None
    if api_keys.expired(entry):
        raise Failure(Exit.USAGE, "This key cannot be made: expires must be today, in UTC, or a later day.")
    report.knows(key=key, entry=entry.entry)
    return report.end(
        Text(f"key    {key}"),
        Text(f"entry  {json.dumps(entry.entry)}"),
        Text("The key is shown only now. Add the entry to the list in API_KEYS."),
    )
