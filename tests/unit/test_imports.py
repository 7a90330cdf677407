"""Imports run one way: what CONTRIBUTING.md says of them, held against the code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERBS = {"submit", "work", "improve", "watch"}
FLOORS = ("jobs", "drawings", "gemini", "limits", "http", "redis")
"""The folders of rubydraw: none imports from one to its left, or from a file that stands above them all."""
ABOVE = {*VERBS, "wiring", "paid_call"}


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
    nouns = [path for path in (ROOT / "shared" / "rubydraw").rglob("*.py") if path.stem not in VERBS | {"wiring"}]
    assert nouns
    assert {} == {path.name: imported(path) & above for path in nouns if imported(path) & above}


@pytest.mark.parametrize("folder", FLOORS)
def test_folders_import_what_stands_below_them(folder: str) -> None:
    """No two folders import each other, so each can be read without those above it."""
    above = {f"rubydraw.{name}" for name in (*FLOORS[: FLOORS.index(folder)], *ABOVE)}
    names = {path.name: imported(path) for path in (ROOT / "shared" / "rubydraw" / folder).glob("*.py")}
    assert len(names) > 1
    found = {file: {name for name in ours if ".".join(name.split(".")[:2]) in above} for file, ours in names.items()}
    assert {} == {file: ours for file, ours in found.items() if ours}


def test_every_folder_has_its_floor() -> None:
    """A new one is put into the order."""
    folders = (ROOT / "shared" / "rubydraw").glob("*/__init__.py")
    assert sorted(FLOORS) == sorted(path.parent.name for path in folders)
