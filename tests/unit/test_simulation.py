"""The simulation behind docs/scale.md: nothing is lost, nothing is left to chance, and each part does its work."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.arrivals import DAY_S, Arrival, arrivals
from bench.simulation import Deployment, Simulation, Times

TIMES = Times(hit_s=0.01, enqueue_s=0.01, status_s=0.001, miss_s=0.2, job_s=0.2, call_s=20, hand_over_s=0.05)
DEPLOYMENT = Deployment(kept=800)


def coming(seed: int = 1) -> list[Arrival]:
    """The evening hour of a day with 20,000 sketches."""
    return list(arrivals(20_000, 0.75 * DAY_S, 3600, seed))


def test_every_sketch_is_answered_once() -> None:
    """Each has one outcome and one wait, nothing stays in an instance, and a hit waits at least for its own work."""
    load = coming()
    run = Simulation(TIMES, DEPLOYMENT).run(load)
    assert len(load) == run.outcomes.total() == sum(map(len, run.waits_s.values()))
    assert sum(run.calls_per_minute.values()) == run.outcomes["called"]
    assert {0} == {it.requests for fleet in (run.graphql, run.worker) for it in fleet.instances}
    assert min(run.waits_s["hit"]) == pytest.approx(TIMES.hit_s)


def test_same_seed_is_the_same_day() -> None:
    """And another seed is another one."""
    one, same, other = (Simulation(TIMES, DEPLOYMENT).run(coming(seed)) for seed in (1, 1, 2))
    assert (one.outcomes, one.waits_s) == (same.outcomes, same.waits_s)
    assert one.outcomes != other.outcomes


@pytest.mark.parametrize("missing", [{"kept": 0, "archive": False}, {"archive": False}, {"coalescing": False}])
def test_each_part_saves_calls(missing: dict[str, Any]) -> None:
    """Without it the same hour costs more."""
    load = coming()
    whole = Simulation(TIMES, DEPLOYMENT).run(load).outcomes["called"]
    assert whole < Simulation(TIMES, replace(DEPLOYMENT, **missing)).run(load).outcomes["called"]


def test_full_instance_makes_others_wait() -> None:
    """One CPU does one thing after the other; a second instance is started for what would wait too long."""
    load = [Arrival(0.0, key, False) for key in range(50)]
    times = replace(TIMES, call_s=1.0, call_spread=0.0, start_s=0.0)
    one, many = (Simulation(times, replace(DEPLOYMENT, max_instances=most)).run(load) for most in (1, 10))
    assert (1, 10) == (one.graphql.most, many.graphql.most)
    assert max(one.waits_s["drawn"]) == pytest.approx(50 * times.miss_s)  # the calls themselves overlap
    assert max(many.waits_s["drawn"]) < max(one.waits_s["drawn"]) / 2
