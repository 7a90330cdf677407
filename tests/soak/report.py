"""What a soak found, for a person to read; and whether that is what was promised."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress

from tests.soak.gauges import Trend
from tests.soak.ledger import Ledger

MOST_MIB_PER_MIN = 1.0
MORE_SOCKETS = 10
JUDGED_AFTER_MIN = 5.0
"""Memory still settles before: a shorter soak prints its slopes and judges nobody by them."""


class Calls:
    """The calls to Gemini, as the functions logged them."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.by_digest: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        for line in lines:
            _, _, text = line.partition("| ")
            if '"gemini.' not in text:
                continue
            with suppress(ValueError):  # a line that its process was killed in the middle of
                self._count(json.loads(text))

    def _count(self, entry: dict[str, str]) -> None:
        self.events[entry["message"]] += 1
        if entry["message"] == "gemini.asked":
            self.by_digest[entry["digest"]] += 1

    @property
    def cut_off(self) -> int:
        """Calls whose end was never logged: their instance was gone."""
        return self.events["gemini.asked"] - self.events["gemini.answered"] - self.events["gemini.failed"]

    @property
    def repeated(self) -> int:
        """Calls beyond the first for each sketch."""
        return sum(count - 1 for count in self.by_digest.values())


def too_many(calls: Calls, ledger: Ledger, digests: Mapping[int, str]) -> int:
    """How many sketches cost more than their requests may."""
    return sum(calls.by_digest[digests[number]] > ledger.most_calls(number) for number in ledger.numbers)


def trends(found: Mapping[str, Trend], judged: Iterable[str]) -> tuple[list[str], bool]:
    """A line for each process, and whether memory and connections of the judged ones are flat."""
    lines, flat = [], True
    for name, trend in sorted(found.items()):
        steady = trend.mib_per_min <= MOST_MIB_PER_MIN or trend.minutes < JUDGED_AFTER_MIN
        even = trend.sockets_after <= trend.sockets_before + MORE_SOCKETS
        if name in judged:
            flat = flat and steady and even
        lines.append(
            f"  {name:<12}{trend.last_mib:7.1f} MiB {trend.mib_per_min:+6.2f} MiB/min over {trend.minutes:.1f} min, "
            f"sockets {trend.sockets_before:g} then {trend.sockets_after:g}"
        )
    return lines, flat


def listed(counts: Counter[str]) -> str:
    """Counts by name, the largest first."""
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())
