"""The service as a discrete-event simulation: arrivals go through both functions, one event after the other."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bench.arrivals import Arrival

IDLE_S = 900.0
"""How long Cloud Run keeps an instance without requests, at most (documentation: Autoscaling)."""
BACKLOG_S = 0.3
"""With this much work queued on the CPU, a request starts another instance; it stands for the platform's 60 %."""
POLL_S = 2.0


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds: of CPU for each kind of request, then of waiting. A miss and a job wait for a call in their middle."""

    hit_s: float
    enqueue_s: float
    status_s: float
    miss_s: float
    job_s: float
    call_s: float
    hand_over_s: float
    call_spread: float = 0.35
    archive_s: float = 0.1
    start_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """What an operator chooses. `kept`: drawings that fit into Redis; `places`: requests at once per instance."""

    kept: int
    archive: bool = True
    coalescing: bool = True
    places: tuple[int, int] = (250, 64)
    max_instances: int = 10
    polls: bool = True


@dataclass(slots=True, eq=False)
class Instance:
    """One CPU, which does one thing after the other, and its places."""

    ready_s: float
    requests: int = 0
    busy_since_s: float = 0.0

    def work(self, now_s: float, cpu_s: float) -> float:
        """Queue work behind what is there; return when it is done."""
        self.ready_s = max(self.ready_s, now_s) + cpu_s
        return self.ready_s


@dataclass(slots=True)
class Fleet:
    """The instances of one function, started as requests need them: about half as many again at a time, at most."""

    places: int
    max_instances: int
    start_s: float
    chance: random.Random
    instances: list[Instance] = field(default_factory=list)
    starting_until_s: list[float] = field(default_factory=list)
    most: int = 0
    busy_s: float = 0.0
    requests: int = 0

    def enter(self, now_s: float) -> Instance:
        """Find a place on the least busy of three instances, or start one more if all three are busy."""
        seen = self.chance.sample(self.instances, min(3, len(self.instances)))
        free = [it for it in seen if it.requests < self.places]
        chosen = min(free or seen, key=lambda it: (it.ready_s, it.requests), default=None)
        if chosen is None or ((not free or chosen.ready_s > now_s + BACKLOG_S) and self._may_start(now_s)):
            chosen = self._start(now_s)
        if not chosen.requests:
            chosen.busy_since_s = now_s
        chosen.requests += 1
        self.requests += 1
        return chosen

    def leave(self, instance: Instance, now_s: float) -> None:
        instance.requests -= 1
        if not instance.requests:
            self.busy_s += now_s - instance.busy_since_s

    def _may_start(self, now_s: float) -> bool:
        self.starting_until_s = [at_s for at_s in self.starting_until_s if at_s > now_s]
        return len(self.starting_until_s) <= len(self.instances) // 2 and len(self.instances) < self.max_instances

    def _start(self, now_s: float) -> Instance:
        started = Instance(now_s + self.start_s)
        self.starting_until_s.append(started.ready_s)
        self.instances = [it for it in self.instances if it.requests or now_s - it.ready_s < IDLE_S] + [started]
        self.most = max(self.most, len(self.instances))
        return started


Then = Callable[[float], None]


class Simulation:
    """Runs arrivals through both functions; afterwards its counters hold the results."""

    def __init__(self, times: Times, deployment: Deployment, seed: int = 1) -> None:
        self.times, self.deployment = times, deployment
        self._chance, self._order = random.Random(seed), itertools.count()
        self.graphql, self.worker = (
            Fleet(places, deployment.max_instances, times.start_s, self._chance) for places in deployment.places
        )
        self.outcomes: Counter[str] = Counter()
        self.waits_s: dict[str, list[float]] = {"hit": [], "drawn": [], "job": []}
        self.calls_per_minute: Counter[int] = Counter()
        self.polls = self.calls_at_once = self.most_calls_at_once = 0
        self._events: list[tuple[float, int, Then]] = []
        self._drawn: OrderedDict[int, None] = OrderedDict((-n, None) for n in range(deployment.kept, 0, -1))
        self._archived: set[int] = set()
        self._in_air: dict[int, list[Then]] = {}

    def run(self, arrivals: Iterable[Arrival]) -> Simulation:
        """Simulate until all are answered; arrivals come in order."""
        for arrival in arrivals:
            self._until(arrival.at_s)
            (self._submit if arrival.background else self._improve_now)(arrival)
        self._until(float("inf"))
        return self

    def _until(self, end_s: float) -> None:
        while self._events and self._events[0][0] <= end_s:
            at_s, _, then = heapq.heappop(self._events)
            then(at_s)

    def _at(self, at_s: float, then: Then) -> None:
        heapq.heappush(self._events, (at_s, next(self._order), then))

    def _improve_now(self, arrival: Arrival) -> None:
        at, outcome = self.graphql.enter(arrival.at_s), ""

        def answered(now_s: float) -> None:
            self.graphql.leave(at, now_s)
            self.waits_s["hit" if outcome == "hit" else "drawn"].append(now_s - arrival.at_s)

        outcome = self._improve(arrival.key, at, arrival.at_s, self.times.miss_s, answered)

    def _submit(self, arrival: Arrival) -> None:
        at = self.graphql.enter(arrival.at_s)
        self._at(at.work(arrival.at_s, self.times.enqueue_s), lambda now_s: self._submitted(at, arrival, now_s))

    def _submitted(self, at: Instance, arrival: Arrival, accepted_s: float) -> None:
        self.graphql.leave(at, accepted_s)
        settled: list[float] = []

        def settle(now_s: float) -> None:
            self.waits_s["job"].append(now_s - accepted_s)
            settled.append(now_s)

        def deliver(now_s: float) -> None:
            at = self.worker.enter(now_s)

            def done(now_s: float) -> None:
                self.worker.leave(at, now_s)
                settle(now_s)

            self._improve(arrival.key, at, now_s, self.times.job_s, done)

        def poll(now_s: float) -> None:
            at = self.graphql.enter(now_s)
            self.polls += 1
            self._at(at.work(now_s, self.times.status_s), lambda end_s: self.graphql.leave(at, end_s))
            if not settled:
                self._at(now_s + POLL_S, poll)

        if arrival.key in self._drawn:  # recorded as done, never published
            self._touch(arrival.key)
            self.outcomes["hit"] += 1
            settle(accepted_s)
        else:
            self._at(accepted_s + self.times.hand_over_s, deliver)
        if self.deployment.polls:
            self._at(accepted_s + POLL_S, poll)

    def _improve(self, key: int, at: Instance, now_s: float, cpu_s: float, done: Then) -> str:
        """Result, else archive, else flight, else Gemini; return the outcome, and call `done` when it is answered."""
        if key in self._drawn:
            self._touch(key)
            outcome = "hit"
            self._at(at.work(now_s, self.times.hit_s), done)
        elif self.deployment.archive and (key < 0 or key in self._archived):
            outcome = "archived"
            self._keep(key)
            self._at(at.work(now_s, self.times.hit_s) + self.times.archive_s, done)
        elif self.deployment.coalescing and key in self._in_air:
            outcome = "coalesced"
            self._in_air[key].append(done)
        else:
            outcome = "called"
            self._in_air.setdefault(key, [])
            self._at(at.work(now_s, cpu_s / 2), lambda asked_s: self._call(key, at, asked_s, cpu_s, done))
        self.outcomes[outcome] += 1
        return outcome

    def _call(self, key: int, at: Instance, asked_s: float, cpu_s: float, done: Then) -> None:
        self.calls_per_minute[int(asked_s / 60)] += 1
        self.calls_at_once += 1
        self.most_calls_at_once = max(self.most_calls_at_once, self.calls_at_once)
        took_s = self.times.call_s * self._chance.lognormvariate(0, self.times.call_spread)

        def answered(now_s: float) -> None:
            self.calls_at_once -= 1
            self._at(at.work(now_s, cpu_s / 2), landed)

        def landed(now_s: float) -> None:
            self._keep(key)
            for each in (done, *self._in_air.pop(key, ())):
                each(now_s)

        self._at(asked_s + took_s, answered)

    def _touch(self, key: int) -> None:
        self._drawn.move_to_end(key)

    def _keep(self, key: int) -> None:
        self._archived.add(key)
        self._drawn[key] = None
        self._drawn.move_to_end(key)
        if len(self._drawn) > self.deployment.kept:
            self._drawn.popitem(last=False)
