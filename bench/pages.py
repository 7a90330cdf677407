"""Writes measurements into pages of docs/: each into its own block between two marks, and nothing else there."""

from __future__ import annotations

import datetime
import os
import platform
import sysconfig
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def measured() -> str:
    """Return the date, the machine and the interpreter of a measurement; one built unoptimized takes a fifth longer."""
    today = datetime.datetime.now(datetime.UTC).date()
    kind = f"{platform.system()} {platform.machine()}"
    optimized = "with" if "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "") else "without"
    python = f"Python {platform.python_version()} configured {optimized} --enable-optimizations"
    return f"Measured on {today}, {kind}, {os.cpu_count()} cores, {python}"


def put(page: str, block: str, text: str) -> None:
    """Put `text` in place of this block of a page, or at its end; the rest of the page stays as it is."""
    path, begin, end = DOCS / page, f"<!-- {block}: begin -->\n", f"<!-- {block}: end -->\n"
    old = path.read_text() if path.exists() else ""
    before, _, rest = old.partition(begin)
    after = rest.partition(end)[2]
    if not rest and before and not before.endswith("\n\n"):
        before += "\n"
    path.write_text(before + begin + text + end + after)
