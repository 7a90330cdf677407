"""The targets of the service, mostly as ratios of one run, and what it reached."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.blocking import LONGEST_MS
from bench.contenders import BARE, CEILING, PEERS_BY_NAME, SERVICE
from bench.jobs import TASKIQ, Jobs
from bench.measure import Results, paired

HIT, STATUS_PICTURE, STATUS = "cached hit, 1 MB picture", "status done, 1 MB picture", "status done, no picture"
TYPENAME, ENQUEUE_ALONE = "{ __typename }", "enqueue, one client"


@dataclass(frozen=True, slots=True)
class Target:
    """A ratio and its bound, the least or the most; `by_cpu` is the same ratio by the servers' CPU per answer."""

    what: str
    ratio: float
    bound: float
    at_least: bool = True
    by_cpu: float | None = None

    @property
    def reached(self) -> bool:
        return self.ratio >= self.bound if self.at_least else self.ratio <= self.bound

    def row(self) -> list[str]:
        sign = "≥" if self.at_least else "≤"
        missed = abs(self.ratio / self.bound - 1)
        return [
            self.what,
            f"{sign} {self.bound:g}",
            f"{self.ratio:.2f}",
            "yes" if self.reached else f"no, by {missed:.0%}",
            "" if self.by_cpu is None else f"{self.by_cpu:.2f}",
        ]


def of_answers(results: Results) -> Iterator[Target]:
    """Judge the answers of the GraphQL function, by rate and by latency."""
    for case, bound in ((HIT, 0.9), (STATUS_PICTURE, 0.95), (STATUS, 0.6), (TYPENAME, 0.85)):
        yield _rate(results, case, CEILING, bound)
        yield _rate(results, case, BARE, bound)
    for peer in PEERS_BY_NAME:
        if peer in results[HIT]:
            yield _rate(results, HIT, peer, 5)
    ours, ceiling = results[STATUS][SERVICE], results[STATUS][CEILING]
    yield Target(
        f"{STATUS}: p99 to bare Starlette's", paired(ours.percentiles(0.99), ceiling.percentiles(0.99)), 2, False
    )
    ours, ceiling = results[ENQUEUE_ALONE][SERVICE], results[ENQUEUE_ALONE][BARE]
    what = "enqueue: p50 to that of a publish and one round trip to Redis"
    yield Target(what, paired(ours.percentiles(0.5), ceiling.percentiles(0.5)), 1.3, False)


def of_jobs(jobs: Jobs) -> Iterator[Target]:
    yield Target("jobs settled: rate to taskiq's of no-ops", paired(jobs.rates[SERVICE], jobs.rates[TASKIQ]), 2.5)
    alone_ms = sorted(load.percentile(0.5) for load in jobs.alone)[len(jobs.alone) // 2]
    yield Target("a job alone, push to settled: p50 in ms", alone_ms, 3, False)


def of_cold_starts(taken_ms: dict[str, list[float]]) -> Iterator[Target]:
    """Judge the times by name; the first is the hello world."""
    (_, hello_ms), *others = taken_ms.items()
    for (name, each_ms), bound in zip(others, (1.5, 1.8, 1.8), strict=True):
        yield Target(f"first answer of {name}: time to a hello world's", paired(each_ms, hello_ms), bound, False)


def of_blocking(blocked_ms: dict[str, float]) -> Iterator[Target]:
    yield Target("event loop blocked by one request: ms", max(blocked_ms.values()), LONGEST_MS, False)


def _rate(results: Results, case: str, other: str, bound: float) -> Target:
    ours, theirs = results[case][SERVICE], results[case][other]
    ratio, by_cpu = paired(ours.rates, theirs.rates), paired(theirs.cpu_ms, ours.cpu_ms)
    return Target(f"{case}: rate to {other}", ratio, bound, by_cpu=by_cpu)
