"""Imports run one way: what CONTRIBUTING.md says of them, held against the code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERBS = {"submit", "work", "improve", "watch"}


def imported(path: Path) -> set[str]:
    """The dotted names that a file imports, those within functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize(
    ("folder", "strangers"),
    [
        ("emulator", {"rubydraw", "cli", "bench", "tests"}),
        ("shared/rubydraw", {"emulator", "cli", "bench", "tests"}),
        ("functions", {"emulator", "cli", "bench", "tests"}),
    ],
)
def test_the_product_and_the_laptop_know_nothing_of_each_other(folder: str, strangers: set[str]) -> None:
    """Nor of what measures and tests them."""
    paths = (ROOT / folder).rglob("*.py")
    found = {str(path): {name.split(".")[0] for name in imported(path)} for path in paths}
    assert found
    assert {} == {name: names & strangers for name, names in found.items() if names & strangers}


def test_only_wiring_and_the_other_verbs_import_a_verb() -> None:
    """A noun that imported one would stand above what uses it."""
    above = {f"rubydraw.{name}" for name in (*VERBS, "wiring")}
    nouns = [path for path in (ROOT / "shared" / "rubydraw").glob("*.py") if path.stem not in VERBS | {"wiring"}]
    assert nouns
    assert {} == {path.name: imported(path) & above for path in nouns if imported(path) & above}
