"""When sketches come, and which of them came before: a day's curve with bursts, repeats by a Zipf law.

Assumed, not measured: most come in the evening (1.8 times the mean, 0.2 at night); one in ten belongs to a burst, a
class of about 20 within 10 s; three in ten were sent before. How many sketches ago that was follows Zipf's law with
exponent 1 over a week, so that a double click is as likely as repeats of yesterday and of last week together.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

DAY_S = 86_400.0
SWING = 0.8
IN_BURSTS, BURST_SIZE, BURST_S = 0.1, 20, 10.0
REPEATED, BACKGROUND = 0.3, 0.5
KEPT_DAYS = 7


@dataclass(frozen=True, slots=True)
class Arrival:
    """One sketch: `key` names the picture; negative ones were first sent before the simulation began."""

    at_s: float
    key: int
    background: bool


def arrivals(per_day: float, start_s: float, length_s: float, seed: int, *, longest_ago: int = 0) -> Iterator[Arrival]:
    """Yield the arrivals from `start_s` of a day on, in order; at noon and midnight the rate is the mean."""
    chance = random.Random(seed)
    keys: list[int] = []
    longest_ago = longest_ago or max(round(per_day * KEPT_DAYS), 2)
    for at_s in sorted(_times(per_day / DAY_S, start_s, length_s, chance)):
        number = len(keys)
        key = number
        if chance.random() < REPEATED:
            ago = int(math.exp(chance.random() * math.log(longest_ago)))
            key = keys[number - ago] if ago <= number else number - ago
        keys.append(key)
        yield Arrival(at_s, key, chance.random() < BACKGROUND)


def _times(mean_per_s: float, start_s: float, length_s: float, chance: random.Random) -> Iterator[float]:
    """Draw from a Poisson process whose rate follows the day; some of its events are whole bursts."""
    events_per_s = mean_per_s * (1 - IN_BURSTS + IN_BURSTS / BURST_SIZE)
    burst_share = IN_BURSTS / BURST_SIZE / (1 - IN_BURSTS + IN_BURSTS / BURST_SIZE)
    fastest, at_s = events_per_s * (1 + SWING), 0.0
    while (at_s := at_s + chance.expovariate(fastest)) < length_s:
        rate = events_per_s * (1 - SWING * math.sin(2 * math.pi * (start_s + at_s) / DAY_S))
        if chance.random() * fastest > rate:
            continue
        size = BURST_SIZE if chance.random() < burst_share else 1
        yield from (at_s + chance.random() * BURST_S * (size > 1) for _ in range(size))
