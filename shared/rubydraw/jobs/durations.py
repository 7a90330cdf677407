"""How long recent jobs took; predicts from this when another job will be done and when to poll it again."""

from __future__ import annotations

from typing import Any, NamedTuple

from rubydraw import keys
from rubydraw.redis.connection import Command

KEPT = 100
"""How many durations complete.lua keeps: those of the last jobs that needed a call, from acceptance to drawing."""
SOONEST_MS, LATEST_MS = 500, 5000
ASKS_AHEAD = 4
"""A client polls again after a quarter of the time that is left: never much too late, never much too often."""


class Forecast(NamedTuple):
    """What to expect of an unsettled job; None where nothing is known."""

    eta_ms: int | None = None
    poll_after_ms: int | None = None


READ: Command = ("LRANGE", keys.DURATIONS, 0, KEPT - 1)
"""Reads the durations; `forecast` takes the answer."""


def forecast(answer: Any, *, age_ms: int, delay_ms: int = 0) -> Forecast:
    """
    Return what to expect of a job that was accepted `age_ms` ago and whose next attempt begins in `delay_ms`.

    A job is expected to take the median duration; one that has taken longer, the 95th percentile. When a job that has
    taken even longer will end is not known.
    """
    try:
        durations = sorted(map(int, answer)) if isinstance(answer, list) else []
    except ValueError:  # a foreign list
        durations = []
    if not durations:
        return Forecast()
    median_ms, p95_ms = (durations[int((len(durations) - 1) * part + 0.5)] for part in (0.5, 0.95))
    if delay_ms > 0:
        eta_ms = delay_ms + median_ms
    else:
        eta_ms = next((each for each in (median_ms - age_ms, p95_ms - age_ms) if each > 0), 0)
    if not eta_ms:
        return Forecast(None, LATEST_MS)
    return Forecast(eta_ms, min(max(eta_ms // ASKS_AHEAD, SOONEST_MS), LATEST_MS))
