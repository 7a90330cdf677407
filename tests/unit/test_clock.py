"""Times as the contract writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rubydraw.clock import iso

LAST_MS = 4_102_444_800_000
"""The end of the year 2099."""


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, None),
        (1, "1970-01-01T00:00:00.001Z"),
        (1_000, "1970-01-01T00:00:01.000Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (1_795_446_000_123, "2026-11-23T15:00:00.123Z"),
    ],
)
def test_times_are_iso_8601_in_utc_with_milliseconds(ms: int, text: str | None) -> None:
    """Always three digits after the point, always Z; 0 is no time."""
    assert text == iso(ms)


@given(st.integers(1, LAST_MS))
def test_no_millisecond_is_lost(ms: int) -> None:
    """What is written is exactly what was meant."""
    text = iso(ms)
    assert text is not None
    assert (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) == timedelta(milliseconds=ms)


@given(st.integers(1, LAST_MS), st.integers(1, LAST_MS))
def test_texts_sort_as_times_do(one: int, other: int) -> None:
    """A client may compare them as strings."""
    assert (one < other) == (str(iso(one)) < str(iso(other)))
