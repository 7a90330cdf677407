"""Rounds of load, interleaved: each case is asked of every contender in turn, and each answer is checked."""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import redis

from bench import load, questions
from bench.contenders import BARE, CEILING, CEILINGS, PARSED, Contender
from bench.load import Connection, Load, post
from bench.questions import Case
from bench.servers import SERVER_CORE, Server, free_port, running
from bench.world import world

WARM_UP_S = 0.4
LENGTHS_DIFFER_BYTES = 32
"""By how much the length of an answer may differ from the first of its run: durations vary in their digits."""

_CEILING_PATHS = {
    "cached hit, 1 MB picture": "?key=hit",
    "cached hit, no picture": "?key=words",
    "status done, 1 MB picture": "?key=hit",
    "status done, no picture": "?key=words",
}


@dataclass(slots=True)
class Measured:
    """What one contender did in one case, round by round."""

    loads: list[Load] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    pss_mib: float = 0.0

    @property
    def rates(self) -> list[float]:
        return [load.answers_per_s for load in self.loads]

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def cpu(self) -> float:
        return statistics.median(self.cpu_ms)

    def percentiles(self, part: float) -> list[float]:
        return [load.percentile(part) for load in self.loads]

    def percentile(self, part: float) -> float:
        return statistics.median(self.percentiles(part))


Results = dict[str, dict[str, Measured]]
"""By case, then by contender."""


def paired(these: Iterable[float], those: Iterable[float]) -> float:
    """Return the median of the rounds' ratios: within a round, seconds apart, the machine is equally fast for both."""
    return statistics.median(this / that for this, that in zip(these, those, strict=True))


def measure(contenders: list[Contender], cases: list[Case], *, rounds: int, run_s: float) -> Results:
    results: Results = defaultdict(lambda: defaultdict(Measured))
    with world() as addresses, ExitStack() as stack:
        runners = [stack.enter_context(_runner(each, addresses)) for each in contenders]
        for round_ in range(rounds + 1):
            for case in cases:
                for runner in runners:
                    if asked := runner.asked(case):
                        runner.run(case, asked, results[case.name][runner.name], run_s if round_ else WARM_UP_S)
            if not round_:
                results.clear()
            print(f"round {round_} of {rounds}", file=sys.stderr)
    return results


class Runner:
    """One running contender, which has stored its drawing and finished its job."""

    def __init__(self, name: str, server: Server, request_id: str) -> None:
        self.name, self._server, self._request_id = name, server, request_id

    def asked(self, case: Case) -> tuple[str, Callable[[memoryview], bool]] | None:
        """Return the path for a case and what checks its answers; None for a ceiling that has no such case."""
        if self.name not in CEILINGS:
            return "/graphql", _judge(case)
        if key := _CEILING_PATHS.get(case.name):
            return ("/parsed" if self.name == PARSED else "/kept") + key, _same_length()
        if self.name in (CEILING, BARE) and case.name == "{ __typename }":
            return "/nothing", _same_length()
        if self.name in (CEILING, BARE) and case.name.startswith("enqueue"):
            return "/published", _same_length()
        return None

    def run(
        self, case: Case, asked: tuple[str, Callable[[memoryview], bool]], measured: Measured, run_s: float
    ) -> None:
        path, fits = asked
        bodies = case.bodies(self._request_id)
        last: list[bytes] = [b"", b""]

        def next_request() -> bytes:
            body = next(bodies)
            if body is not last[0]:
                last[:] = [body, post(body, path)]
            return last[1]

        began_cpu_s = self._server.cpu_s()
        done = load.run(self._server.port, next_request, fits, clients=case.clients, for_s=run_s)
        measured.cpu_ms.append((self._server.cpu_s() - began_cpu_s) * 1000 / len(done.latencies_ms))
        measured.loads.append(done)
        measured.pss_mib = max(measured.pss_mib, self._server.pss_mib())


@contextmanager
def _runner(contender: Contender, addresses: dict[str, str]) -> Iterator[Runner]:
    port = free_port()
    with running(contender.command(port), port, SERVER_CORE, {**addresses, **contender.environment}) as server:
        store = redis.Redis.from_url(addresses["REDIS_URL"])
        if contender.name in CEILINGS:
            yield Runner(contender.name, server, "")
            return
        client = Connection(port)
        client.ask(post(questions.improve(questions.WITH_PICTURE)))
        hit = client.ask(post(questions.improve(questions.WITH_PICTURE)))
        words = client.ask(post(questions.improve(questions.WITHOUT_PICTURE)))
        submitted = json.loads(client.ask(post(questions.improve("title", later=True))))
        client.socket.close()
        store.mset({"hit": hit, "words": words})  # what the ceilings answer with: the same bytes
        yield Runner(contender.name, server, submitted["data"]["improveSketch"]["requestId"])


def _judge(case: Case) -> Callable[[memoryview], bool]:
    """Parse and check the first answer of a run; check of the others only the length, and that there is no error."""
    length = _same_length()
    judged: list[bool] = []

    def fits(body: memoryview) -> bool:
        if not judged:
            answer = json.loads(bytes(body))
            judged.append("errors" not in answer and case.holds(answer["data"]))
        return judged[0] and length(body) and b'"message"' not in bytes(body[:200])

    return fits


def _same_length() -> Callable[[memoryview], bool]:
    first: list[int] = []

    def fits(body: memoryview) -> bool:
        first.append(len(body)) if not first else None
        return abs(len(body) - first[0]) <= LENGTHS_DIFFER_BYTES

    return fits
