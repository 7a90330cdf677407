"""The pages that map promises to tests: each promise has one, and each test that is named exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [page for page in sorted((ROOT / "docs").glob("*.md")) if "::" in page.read_text("utf-8")]
DEFINED = {".py": r"^(?:async )?def {name}\(", ".hcl": r'^run "{name}" {{'}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    """File and function, or file and run of Terraform's."""
    named = set(re.findall(r"`([\w./-]+)::(\w+)`", page.read_text("utf-8")))
    assert named
    missing = []
    for file, name in sorted(named):
        path = ROOT / file
        text = path.read_text("utf-8") if path.is_file() else ""
        if not re.search(DEFINED[path.suffix].format(name=name), text, re.MULTILINE):
            missing.append(f"{file}::{name}")
    assert [] == missing


@pytest.mark.parametrize("part", ["Authentication", "CORS", "Spending"])
def test_every_promise_of_security_has_a_test(part: str) -> None:
    """No line of a table is without one."""
    below = (ROOT / "docs" / "security.md").read_text("utf-8").split(f"\n## {part}\n")[1].split("\n## ")[0]
    rows = [line for line in below.splitlines() if line.startswith("| ")][2:]
    assert rows
    assert [] == [row for row in rows if "::" not in row]
