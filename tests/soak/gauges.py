"""Memory and open sockets of processes over time, read from /proc."""

import os
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Reading:
    """One look at a process."""

    at_s: float
    memory_mib: float
    sockets: int


class Gauges:
    """Reads processes by name; a name whose process is replaced begins anew."""

    def __init__(self) -> None:
        self._readings: dict[tuple[str, int], list[Reading]] = defaultdict(list)

    def read(self, processes: Mapping[str, int]) -> None:
        for name, pid in processes.items():
            try:
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                sockets = sum(os.readlink(each).startswith("socket:") for each in Path(f"/proc/{pid}/fd").iterdir())
            except OSError:  # it ended, or closed a file, meanwhile
                continue
            memory_mib = pages * os.sysconf("SC_PAGE_SIZE") / _MIB
            self._readings[name, pid].append(Reading(time.monotonic(), memory_mib, sockets))

    def trends(self, *, since_s: float, at_least_s: float) -> dict[str, "Trend"]:
        """How the process of each name developed that lived longest since then, if it lived long enough."""
        found: dict[str, Trend] = {}
        for (name, _), readings in self._readings.items():
            late = [reading for reading in readings if reading.at_s >= since_s]
            if len(late) > 3 and late[-1].at_s - late[0].at_s >= at_least_s:
                found[name] = Trend.of(late)
        return found


@dataclass(frozen=True)
class Trend:
    """How a process developed: MiB per minute by least squares, sockets as the medians of both halves."""

    minutes: float
    last_mib: float
    mib_per_min: float
    sockets_before: float
    sockets_after: float

    @classmethod
    def of(cls, readings: list[Reading]) -> "Trend":
        minutes = [(reading.at_s - readings[0].at_s) / 60 for reading in readings]
        memory = [reading.memory_mib for reading in readings]
        half = len(readings) // 2
        before, after = (
            statistics.median(reading.sockets for reading in part) for part in (readings[:half], readings[half:])
        )
        slope = statistics.linear_regression(minutes, memory).slope
        return cls(minutes[-1], memory[-1], slope, before, after)
