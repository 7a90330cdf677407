"""Whatever happens, in whatever order: every job ends once, with its own picture, for no more calls than promised."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.schedules.clockwork import Loop
from tests.schedules.instance import owned
from tests.schedules.invariants import Invariants
from tests.schedules.world import World
from tests.servers import Server

COLOURS, INSTANCES, PICKS = st.integers(0, 2), st.integers(0, 1), st.integers(0, 9)


class Player:
    """Plays one schedule, and tells it when a promise was broken."""

    def __init__(self, redis_port: int) -> None:
        self._runner = asyncio.Runner(loop_factory=Loop)
        loop = self._runner.get_loop()
        assert isinstance(loop, Loop)
        loop.set_task_factory(owned)
        self._world = World(loop, redis_port)
        self._promises = Invariants(self._world)
        self._told: list[tuple[str, dict[str, Any]]] = []
        self._runner.run(self._world.begin())
        self._runner.run(self._promises.begin())
        self._world.after_each_step = self._promises.check

    def step(self, what: str, **how: Any) -> None:
        """Do one thing, and see that everything holds."""
        self._told.append((what, how))
        try:
            self._runner.run(getattr(self._world, what)(**how))
        except Exception as broken:
            broken.add_note(f"after {self._told}")
            raise

    def end(self) -> None:
        """Let everything come to its end, and see that all of it did."""
        try:
            self.step("drain")
            self._promises.check_ended()
        finally:
            self._runner.run(self._promises.end())
            self._runner.run(self._world.end())
            self._runner.close()


class Schedule(RuleBasedStateMachine):
    """The model is the status machine of the jobs; each rule is one thing that may happen next.

    What is drawn never depends on the world: a schedule that failed can be played again.
    """

    redis_port = 0

    def __init__(self) -> None:
        super().__init__()
        self.player = Player(self.redis_port)

    @rule(
        colour=COLOURS,
        to=INSTANCES,
        key=st.sampled_from([None, None, None, "a", "b"]),
        publish=st.sampled_from(["take"] * 6 + ["refuse", "lose"]),
    )
    def submit(self, **how: Any) -> None:
        self.player.step("submit", **how)

    @rule(colour=COLOURS, to=INSTANCES)
    def ask(self, **how: Any) -> None:
        self.player.step("ask", **how)

    @rule(pick=PICKS, to=INSTANCES, again=st.sampled_from([False, False, True]))
    def deliver(self, **how: Any) -> None:
        self.player.step("deliver", **how)

    @rule(pick=PICKS)
    def draw(self, pick: int) -> None:
        self.player.step("answer", pick=pick, how="drawn")

    @rule(pick=PICKS, how=st.sampled_from(["500", "500", "429", "no_image", "refused"]))
    def fail(self, **how: Any) -> None:
        self.player.step("answer", **how)

    @rule(pick=PICKS)
    def replay(self, pick: int) -> None:
        self.player.step("replay", pick=pick)

    @rule(number=INSTANCES, command=st.integers(0, 8), arrives=st.booleans())
    def kill(self, **how: Any) -> None:
        self.player.step("kill", **how)

    @rule(number=INSTANCES, kind=st.sampled_from(["drop", "lose", "full", "flush"]))
    def trouble(self, **how: Any) -> None:
        self.player.step("trouble", **how)

    @rule(seconds=st.sampled_from([0.3, 2.5, 6.0, 31.0, 31.0, 3700.0]), asleep=st.booleans())
    def jump(self, **how: Any) -> None:
        self.player.step("jump", **how)

    def teardown(self) -> None:
        self.player.end()


Step = tuple[str, dict[str, Any]]
SUBMIT: Step = ("submit", {"colour": 0, "to": 0})
TO_0: Step = ("deliver", {"pick": 0, "to": 0})
TO_1: Step = ("deliver", {"pick": 0, "to": 1})
DRAWN: Step = ("answer", {"pick": 0, "how": "drawn"})
FAILED: Step = ("answer", {"pick": 0, "how": "500"})
KILL: Step = ("kill", {"number": 0})
KILL_LATER: Step = ("kill", {"number": 0, "command": 1, "arrives": True})
LAPSE: Step = ("jump", {"seconds": 31.0})
WAIT: Step = ("jump", {"seconds": 0.3})
PAUSE: Step = ("jump", {"seconds": 31.0, "asleep": True})
FULL: Step = ("trouble", {"number": 0, "kind": "full"})
FLUSH: Step = ("trouble", {"number": 0, "kind": "flush"})
KNOWN: dict[str, list[Step]] = {
    "a follower takes over right after its leader has stored": [
        ("ask", {"colour": 0, "to": 0}), ("ask", {"colour": 0, "to": 1}), DRAWN, WAIT,
    ],
    "a worker wakes up after another one has drawn": [SUBMIT, TO_0, PAUSE, TO_1, DRAWN, DRAWN],
    "a worker wakes up and fails while another one draws": [SUBMIT, TO_0, PAUSE, TO_1, FAILED, DRAWN],
    "every attempt kills its worker": [SUBMIT, *[TO_0, KILL, LAPSE] * 3, TO_0],
    "every attempt fails": [SUBMIT, *[TO_0, FAILED, LAPSE] * 3, TO_0],
    "a failed job is done again, and its old message comes once more": [
        SUBMIT, TO_0, ("answer", {"pick": 0, "how": "refused"}), ("replay", {"pick": 0}),
        ("deliver", {"pick": 0, "to": 0, "again": True}), LAPSE, ("jump", {"seconds": 610.0}), TO_1, DRAWN,
    ],
    "a worker dies when it has claimed": [SUBMIT, KILL_LATER, TO_0, LAPSE],
    "a worker dies before it has recorded what was drawn": [SUBMIT, TO_0, KILL_LATER, DRAWN, LAPSE],
    "what was drawn cannot be stored for a while": [SUBMIT, TO_0, FULL, DRAWN, FULL, ("jump", {"seconds": 2.5})],
    "everything is flushed while a worker draws": [SUBMIT, TO_0, FLUSH, DRAWN],
    "everything is flushed before a job is delivered": [SUBMIT, FLUSH, TO_0, DRAWN],
    "a publish is taken twice": [("submit", {"colour": 0, "to": 0, "publish": "lose"}), TO_0, TO_1, DRAWN],
    "a job waits for longer than it is worth": [SUBMIT, ("jump", {"seconds": 3700.0}), TO_0],
}  # fmt: skip
"""What is easily got wrong; a schedule that fails is added here."""


pytestmark = [
    pytest.mark.usefixtures("logging_as_it_was"),
    # An instance that is killed while it connects leaves a socket to the collector; the death of a process closes it.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.mark.parametrize("steps", KNOWN.values(), ids=KNOWN)
def test_a_known_schedule_keeps_every_promise(valkey: Server, steps: list[Step]) -> None:
    """What is easily got wrong is played each time, whatever chance has in store."""
    player = Player(valkey.port)
    try:
        for what, how in steps:
            player.step(what, **how)
    finally:
        player.end()


@pytest.mark.parametrize("schedules", [10, pytest.param(100, marks=[pytest.mark.chaos, pytest.mark.timeout(180)])])
def test_every_schedule_keeps_every_promise(valkey: Server, schedules: int) -> None:
    """Kills, flushes, lost answers, duplicates and jumps in time break none of I1 to I5 and no bound on calls."""
    machine = type("Schedule", (Schedule,), {"redis_port": valkey.port})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=schedules,
            stateful_step_count=25,
            phases=(Phase.generate,),  # to make a failure smaller takes minutes
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
