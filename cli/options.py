"""What all commands have: the option for JSON, and the exit statuses below their help."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from cli.failure import MEANINGS

STATUSES = "\b\nExit status:\n" + "\n".join(f"{status.value:5}  {meaning}" for status, meaning in MEANINGS.items())
Json = Annotated[
    bool, Option("--json", help="Print one JSON object on standard output; progress goes to standard error.")
]
