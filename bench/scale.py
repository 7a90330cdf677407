"""docs/scale.md: what a number of sketches a day asks of each part, what it costs, and which limit comes first."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from bench import prices
from bench.arrivals import DAY_S, arrivals
from bench.pages import measured
from bench.prices import DRAWING_GB, SKETCH_GB
from bench.simulation import Deployment, Simulation, Times

TIMES = Times(
    hit_s=0.0042, enqueue_s=0.0027, status_s=0.0005, miss_s=0.3, job_s=0.3, call_s=20.0, hand_over_s=0.05
)  # fmt: skip
"""CPU as bench/service_times.py measured it on 2026-11-30; the time of a call and the other waits are assumed."""
DRAWINGS_PER_GB = round(1 / DRAWING_GB)
COMMANDS = {"hit": 1, "archived": 5, "coalesced": 3, "called": 5}
"""Round trips to Redis of one sketch, counted in the code; a background job has one more at most, a poll one."""
FLEET: dict[str, dict[str, Any]] = {
    "everything on": {},
    "no archive": {"archive": False},
    "no coalescing": {"coalescing": False},
    "no cache, no archive": {"archive": False, "kept": 0},
    "none of the three": {"archive": False, "kept": 0, "coalescing": False},
}


@dataclass(frozen=True, slots=True)
class Scale:
    """How many sketches a day, the part of a day that is simulated, and the Redis that it gets."""

    per_day: int
    start_s: float
    length_s: float
    redis_gb: int


SCALES = (Scale(1_000, 0, 7 * DAY_S, 1), Scale(100_000, 0, DAY_S, 10), Scale(10_000_000, 0.75 * DAY_S - 90, 180, 300))
"""For ten million, the three busiest minutes are simulated; for the others, whole days."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a simulation tells of one scale; `peak_per_s` is the sketches a second in the busiest minute."""

    scale: Scale
    run: Simulation
    sketches: int
    peak_per_s: float

    def share(self, *outcomes: str) -> float:
        return sum(self.run.outcomes[each] for each in outcomes) / self.sketches

    def commands(self) -> float:
        """Round trips to Redis for one sketch."""
        own = sum(count * self.share(outcome) for outcome, count in COMMANDS.items())
        return own + (len(self.run.waits_s["job"]) + self.run.polls) / self.sketches

    def redis_gb(self) -> float:
        """GB of pictures that Redis transfers for one sketch: an answer reads one, a call or archive hit stores one."""
        return DRAWING_GB * (1 + self.share("called", "archived"))

    def published(self) -> float:
        return self.run.worker.requests / self.sketches

    def cost(self) -> dict[str, float]:
        """Dollars for a thousand sketches."""
        run, calls, archived = self.run, self.share("called"), self.share("archived")
        busy_s = (run.graphql.busy_s + run.worker.busy_s) / self.sketches
        requests = (run.graphql.requests + run.worker.requests) / self.sketches
        kept = run.deployment.kept > 0
        redis_hour = self.scale.redis_gb * prices.REDIS_GB_HOUR[self.scale.redis_gb] if kept else 0.049
        stored = DRAWING_GB * prices.ARCHIVE_MONTHS * prices.STORED_GB_MONTH + prices.STORE
        one = {
            "Gemini": calls * prices.CALL,
            "functions": busy_s * (prices.VCPU_S + prices.GIB_S) + requests * prices.REQUEST,
            "Redis": redis_hour * 24 / self.scale.per_day,
            "Pub/Sub": self.published() * 2 * SKETCH_GB * prices.PUBSUB_GB,
            "archive": (calls * stored + archived * prices.FETCH) if run.deployment.archive else 0.0,
            "traffic": DRAWING_GB * prices.EGRESS_GB,
        }
        return {name: dollars * 1000 for name, dollars in one.items()}


def load(scale: Scale, **changes: Any) -> Load:
    """Simulate one scale; the fleet may grow as far as it needs."""
    coming = list(arrivals(scale.per_day, scale.start_s, scale.length_s, seed=1))
    minutes = Counter(int(each.at_s / 60) for each in coming)
    deployment = Deployment(kept=scale.redis_gb * DRAWINGS_PER_GB, max_instances=1000)
    run = Simulation(TIMES, replace(deployment, **changes)).run(coming)
    return Load(scale, run, len(coming), max(minutes.values()) / 60)


def walls(of: Load) -> list[tuple[float, str]]:
    """Return need over limit for everything that refuses or slows down requests, the worst first."""
    calls_per_minute = max(of.run.calls_per_minute.values())
    redis_gbit_s = of.peak_per_s * of.redis_gb() * 8
    most = max(of.run.graphql.most, of.run.worker.most)
    calls_a_day = round(of.scale.per_day * of.share("called"))
    found = [
        (calls_a_day / 500, f"the budget: {calls_a_day:,} calls a day of 500"),
        (calls_per_minute / 300, f"Gemini's quota: {calls_per_minute:,} calls a minute of 300"),
        (most / 10, f"instances: {most} of a function of 10"),
        (redis_gbit_s / 16, f"Redis' network: {redis_gbit_s:.3f} of 16 Gbit/s"),
    ]
    return sorted(found, reverse=True)


def over(ratio: float) -> str:
    return f"{ratio:.0%}" if ratio < 10 else f"{ratio:,.0f} times"


def row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def page() -> str:
    """Simulate everything; return the page."""
    loads = [load(scale) for scale in SCALES]
    head = ["", *(f"{each.scale.per_day:,} a day" for each in loads)]
    needs = [
        row("sketches a second, mean and busiest minute",
            *(f"{each.scale.per_day / DAY_S:.2f}, {each.peak_per_s:.2f}" for each in loads)),
        row("hits, archived, shared, called (%)",
            *(", ".join(f"{each.share(kind):.0%}"[:-1] for kind in COMMANDS) for each in loads)),
        row("instances at most, graphql and worker",
            *(f"{each.run.graphql.most}, {each.run.worker.most}" for each in loads)),
        row("calls to Gemini, at once and in the busiest minute",
            *(f"{each.run.most_calls_at_once:,}, {max(each.run.calls_per_minute.values()):,}" for each in loads)),
        row("Redis: GB of a week's drawings, GB it has",
            *(f"{7 * each.scale.per_day * each.share('called') * DRAWING_GB:,.0f}, {each.scale.redis_gb}"
              for each in loads)),
        row("Redis: commands and MB a second, busiest minute",
            *(f"{each.peak_per_s * each.commands():,.1f}, {each.peak_per_s * each.redis_gb() * 1000:,.1f}"
              for each in loads)),
        row("Pub/Sub: messages a second at the peak, GB a day",
            *(f"{each.peak_per_s * each.published():,.2f}, "
              f"{each.scale.per_day * each.published() * SKETCH_GB:,.1f}" for each in loads)),
    ]  # fmt: skip
    first = [
        row(f"{each.scale.per_day:,}", *(f"{text} ({over(ratio)})" for ratio, text in walls(each))) for each in loads
    ]
    costs = {name: [sum(load(scale, **changes).cost().values()) for scale in SCALES] for name, changes in FLEET.items()}
    parts = [each.cost() for each in loads]
    return PAGE.format(
        measured=measured(),
        needs="\n".join([row(*head), "|---|---|---|---|", *needs]),
        walls="\n".join(first),
        parts="\n".join(row(name, *(f"{part[name]:.3f}" for part in parts)) for name in parts[0]),
        costs="\n".join(row(name, *(f"{dollars:.2f}" for dollars in each)) for name, each in costs.items()),
        head="\n".join([row("dollars", *head[1:]), "|---|---|---|---|"]),
        miss_s=TIMES.miss_s,
    )


PAGE = """\
# Scale

What a thousand, a hundred thousand and ten million sketches a day require of each part. {measured}: `python -m \
bench.simulate --write`.

## How far to trust it

The figures come from a discrete-event simulation (`bench/simulation.py`), in which each sketch goes through graphql \
function, result, archive, flight, Gemini and worker. **Measured** are the CPU seconds of each kind of request \
(`python -m bench.service_times`; the pictures are noise, which takes longest to convert, so {miss_s} s for a call is \
the upper end) and the places per instance ([performance](performance.md)). **Assumed** are the curve of the day, \
bursts and repeats (`bench/arrivals.py`), 20 s for a call, sizes of 0.3 and 1.2 MB, the prices (`bench/prices.py` \
names their sources), and the round trips to Redis (counted in the code by hand). `python -m bench.simulate --check` \
compares the simulation with the laptop: it runs the fleet for 40 s, and fails if the median wait of hits, drawn \
sketches or jobs differs from the simulated one by more than 20 %.

## What is needed

{needs}

## The first wall

The table shows each need and its limit, the tightest first. The limits: 500 calls a day are the default of \
`DAILY_CALLS`; 300 calls a minute are assumed for a new paying project (third-party tables, February 2026; AI Studio \
shows yours); 10 instances are the default of `max_instances`; 16 Gbit/s is the figure of Memorystore's documentation \
(cloud.google.com/memorystore/docs/redis/redis-tiers).

| sketches a day | first | second | third | fourth |
|---|---|---|---|---|
{walls}

How to move each of them:

* **The budget**: `budget.daily_calls`, and the budget of one caller ([security](security.md)). It is meant to stop \
you: raise it when you are willing to pay the bill.
* **Gemini's quota**: a higher tier, or `gemini.mode = "vertex"`, which has another quota. Until then the cooldown \
makes the whole fleet wait, and jobs wait in Pub/Sub for up to an hour; hits and archived drawings are still served.
* **Instances**: `graphql.max_instances` and `worker.max_instances`, up to 100 each. An instance runs out of CPU, for \
converting JPEG, before it runs out of memory. `subnet_cidr` needs two addresses per instance.
* **Redis' network**: with `results_redis`, the pictures are in another Redis than the state.
* **Redis' memory** is no wall: a full Redis evicts drawings, and each evicted drawing that is requested again costs \
one read of the archive instead of a call. At ten million a day, a week's drawings are 200 times what one Redis can \
hold (300 GB): then Redis holds the drawings of the last hour, and `archive` the rest.
* **Pub/Sub**: its quota per region is not compared here; the table above has the volume.

## What a thousand sketches cost

{head}
{parts}

The sums, with everything on and with parts switched off. Without a cache there are no background jobs, but the \
figures assume them. The archive's share is a year of storage.

{head}
{costs}

Nearly all of the cost is calls. How much cache and archive save depends on when sketches are repeated: a cache with a \
day's drawings answers early repeats, the archive answers late ones, and coalescing answers those that come while the \
first is being drawn.
"""
