"""The page on reliability: each row has a test, or says why none can reach it; each step has a row."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reliability.md").read_text("utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the tables below a heading, up to the next one that stands as high."""
    level = heading.partition(" ")[0]
    below = re.split(rf"^{level} ", PAGE.partition(f"\n{heading}\n")[2], flags=re.MULTILINE)[0]
    lines = [line for line in below.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    return [line.strip("| ").split(" | ") for line in lines]


def steps(cell: str) -> set[str]:
    """`S4, S6–S8` is S4, S6, S7 and S8."""
    found = set()
    for path, first, last in re.findall(r"\b([SAWQU])(\d+)(?:–[SAWQU](\d+))?\b", cell):
        found |= {f"{path}{number}" for number in range(int(first), int(last or first) + 1)}
    return found


def test_every_invariant_is_tested() -> None:
    """All eight, each with where it is enforced."""
    stated = rows("## Invariants")[1:]
    assert [f"I{number}" for number in range(1, 9)] == [name for name, *_ in stated]
    assert [] == [name for name, _, where, tests in stated if "`" not in where or "::" not in tests]


def test_every_fault_has_a_test_or_a_reason() -> None:
    """A reason is a sentence that begins with `By construction`."""
    faults = [row for row in rows("## The matrix") if steps(row[0]) and len(row) == 4]
    assert len(faults) >= 90
    assert [] == [fault for _, fault, _, why in faults if "::" not in why and not why.startswith("By construction: ")]


def test_every_step_fails_somewhere() -> None:
    """No step of the five paths is left out."""
    matrix = rows("## The matrix")
    listed = set().union(*(steps(words) for path, words, *rest in matrix if not rest))
    struck = set().union(*(steps(at) for at, *rest in matrix if len(rest) == 3))
    assert {
        f"{path}{n}" for path, last in zip("SAWQU", (10, 7, 12, 3, 5), strict=True) for n in range(1, last + 1)
    } == listed
    assert set() == listed - struck
