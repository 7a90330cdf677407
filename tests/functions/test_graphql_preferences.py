"""What is read in a Prefer header."""

from __future__ import annotations

import pytest

from tests.functions import tiny_graphql as tiny_graphql  # the path to the function

from preferences import preferences  # isort: skip


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        (None, (False, 0)),
        ("", (False, 0)),
        ("respond-async", (True, 0)),
        ("Respond-Async , wait=10", (True, 10)),
        ("wait=10, respond-async", (True, 10)),
        ("handling=lenient, respond-async", (True, 0)),
        ("respond-async;quiet", (True, 0)),
        ("respond-async; x=1 ; y, wait=10; x", (True, 10)),
        ("respond-async; wait=10", (True, 0)),
        ('wait = "10"', (False, 10)),
        ("wait=10, wait=20", (False, 10)),
        ("wait=61", (False, 60)),
        ("wait=999999999", (False, 60)),
        ("wait=1000000000", (False, 60)),
        ("wait=" + "9" * 5_000, (False, 60)),
        ("wait=0000000005", (False, 5)),
        ("wait=000", (False, 0)),
        ("wait=-1, wait=1.5, wait=x, wait", (False, 0)),
        ("respond-asynchronously", (False, 0)),
        ('foo="a, respond-async, wait=10, b", wait=5', (False, 5)),
        (r'foo="a\", respond-async, \\", wait=5', (False, 5)),
        ('foo="a, respond-async', (False, 0)),
    ],
)
def test_what_is_preferred(prefer: str | None, expected: tuple[bool, int]) -> None:
    """Names in any case, the first of a kind, at most the longest wait; parameters and quotations change nothing."""
    assert expected == preferences(prefer)
