"""What was accepted, what became of it, and whether that is what was promised."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

SETTLED = ("done", "error")
CALLS_PER_JOB = 3
FLUSHED = "improve_sketch:flushed"
"""The channel that tells of a flush."""
NEXT = {
    "": {"queued", "done", "error"},
    "queued": {"running", "done", "error"},
    "running": {"running", "queued", "done", "error"},
    "done": set[str](),
    "error": set[str](),
}
"""The states of design.md: `running` again when a lapsed lease is claimed, `done` by whoever has drawn it."""
WRONG = ("mixed up", "done without a picture", "one request id for two sketches", "one key for two jobs", "bad answers")


@dataclass
class Job:
    """An accepted job: the number of its sketch, and the states that Redis announced, a new list after each flush."""

    number: int
    lives: list[list[str]] = field(default_factory=lambda: [[]])

    @property
    def settled(self) -> bool:
        return any(state in SETTLED for life in self.lives for state in life)

    @property
    def astray(self) -> bool:
        """Whether any transition was not allowed, above all one of a settled job."""
        return any(after not in NEXT[before] for life in self.lives for before, after in pairwise(["", *life]))


class Ledger:
    """Kept by those who ask and by the one who listens; read when everything is over."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.answers: Counter[str] = Counter()
        """What came back, by kind of request and outcome."""
        self.wrong: Counter[str] = Counter()
        """What must not have happened, by its name."""
        self.syncs: Counter[int] = Counter()
        self._submits: Counter[int] = Counter()
        self._early: defaultdict[str, list[list[str]]] = defaultdict(lambda: [[]])
        self.flushes = 0

    def asked_for(self, number: int, *, background: bool) -> None:
        """Count a request before it is sent: it may cost a call though no answer comes back."""
        (self._submits if background else self.syncs)[number] += 1

    def accepted(self, request_id: str, number: int) -> None:
        """A request id came back; the same one again is no other job."""
        known = self.jobs.setdefault(request_id, Job(number, self._early[request_id]))
        if known.number != number:
            self.wrong["one request id for two sketches"] += 1

    def announced(self, request_id: str, state: str) -> None:
        """Redis told of a transition, perhaps before the request id came back, or of a flush: all begins anew."""
        if FLUSHED.endswith(request_id):
            for lives in self._early.values():
                lives.append([])
        else:
            self._early[request_id][-1].append(state)

    @property
    def unsettled(self) -> list[str]:
        return [request_id for request_id, job in self.jobs.items() if not job.settled]

    @property
    def numbers(self) -> set[int]:
        """The sketches that were asked for."""
        return set(self.syncs) | set(self._submits)

    def most_calls(self, number: int) -> int:
        """What the requests for one sketch may cost at most."""
        return self.syncs[number] + CALLS_PER_JOB * self._submits[number] * (1 + self.flushes)

    def verdict(self) -> dict[str, int]:
        """What must be 0, each."""
        jobs = self.jobs.values()
        return {
            "lost or stuck": len(self.unsettled),
            "in a state that may not follow": sum(job.astray for job in jobs),
            "done twice": sum(life.count("done") > 1 for job in jobs for life in job.lives),
            **{name: self.wrong[name] for name in WRONG},
        }
