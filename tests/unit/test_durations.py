"""What is said about when a job will be done: by the median, then by the 95th percentile, then nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rubydraw.jobs.durations import KEPT, LATEST_MS, SOONEST_MS, Forecast, forecast

TWENTY = [b"%d" % (second * 1000) for second in range(20, 0, -1)]  # median 11 s, 95th percentile 19 s


@pytest.mark.parametrize("answer", [[], None, OSError("refused"), [b"12", b"a while"]])
def test_without_durations_nothing_is_known(answer: Any) -> None:
    """Nor where Redis could not say them, or somebody else has written there."""
    assert Forecast(None, None) == forecast(answer, age_ms=0)


@pytest.mark.parametrize(
    ("age_ms", "expected"),
    [
        (0, Forecast(11_000, 2750)),
        (9000, Forecast(2000, SOONEST_MS)),
        (10_999, Forecast(1, SOONEST_MS)),
        (11_000, Forecast(8000, 2000)),
        (18_999, Forecast(1, SOONEST_MS)),
        (19_000, Forecast(None, LATEST_MS)),
    ],
)
def test_expected_is_the_median_then_the_95th_percentile(age_ms: int, expected: Forecast) -> None:
    """A job that has taken longer than nearly all others may take any time."""
    assert expected == forecast(TWENTY, age_ms=age_ms)


def test_a_job_that_waits_for_its_next_attempt_takes_that_much_longer() -> None:
    """Its age says nothing then."""
    assert Forecast(15_000, 3750) == forecast(TWENTY, age_ms=60_000, delay_ms=4000)


def test_one_duration_is_better_than_none() -> None:
    """It is median and percentile in one."""
    assert Forecast(700, SOONEST_MS) == forecast([b"1000"], age_ms=300)


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=KEPT), st.integers(0, 10**7), st.integers(-(10**7), 10**7))
def test_whatever_the_durations_one_asks_again_in_reason(took: list[int], age_ms: int, delay_ms: int) -> None:
    """Not more than twice a second, not less than every 5 s, and never expects what is past."""
    eta_ms, poll_after_ms = forecast([b"%d" % each for each in took], age_ms=age_ms, delay_ms=delay_ms)
    assert eta_ms is None or eta_ms > 0
    assert poll_after_ms is not None
    assert SOONEST_MS <= poll_after_ms <= LATEST_MS
