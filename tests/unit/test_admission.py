"""What one instance lets through: bounded calls, bounded bytes, and a trickle without Redis."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rubydraw import logs
from rubydraw.errors import Code, StoreUnavailable, Unavailable
from rubydraw.limits.admission import LONGEST_BODY_BYTES, MEAN_SKETCH_BYTES, RETRY_AFTER_S, Allowance, Gate, Intake


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_full_gate_refuses_and_opens_again() -> None:
    """As many calls as there are places; each place is free again after its call."""
    gate = Gate(2)
    with gate.admit(10), gate.admit(10):
        assert gate.full
        with pytest.raises(Unavailable) as refused, gate.admit(10):
            pytest.fail("there was no place")
        assert (refused.value.code, refused.value.retry_after_s, gate.calls) == (Code.UNAVAILABLE, RETRY_AFTER_S, 2)
    with gate.admit(10):
        assert gate.calls == 1
    assert not gate.full


def test_a_call_that_fails_leaves_its_place() -> None:
    """An exception frees place and bytes."""
    gate = Gate(1)
    with pytest.raises(ZeroDivisionError), gate.admit(MEAN_SKETCH_BYTES):
        raise ZeroDivisionError
    assert (gate.calls, gate.full) == (0, False)


@pytest.mark.usefixtures("logging_as_it_was")
def test_a_full_instance_says_so_and_not_at_each_refusal(capsys: pytest.CaptureFixture[str]) -> None:
    """Once a minute for calls, whether a place is asked for or looked for, and once for bodies."""
    logs.start(level="INFO", project="")
    gate, intake = Gate(1), Intake(1)
    with gate.admit(10), intake.admit("10"):
        for _ in range(3):
            with pytest.raises(Unavailable):
                gate.check()
            with pytest.raises(Unavailable), gate.admit(10):
                pytest.fail("there was no place")
            with pytest.raises(Unavailable), intake.admit(None):
                pytest.fail("there was no room")
    gate.check()
    told = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [("WARNING", "instance.full", of) for of in ("calls", "bodies")] == [
        (line["severity"], line["message"], line["of"]) for line in told
    ]


def test_bytes_count_like_calls() -> None:
    """A few large sketches fill the memory of many small ones."""
    gate = Gate(10)
    with gate.admit(5 * MEAN_SKETCH_BYTES), gate.admit(5 * MEAN_SKETCH_BYTES):
        assert (gate.calls, gate.full) == (2, True)


def test_the_largest_sketch_fits_through_the_smallest_gate() -> None:
    """Else it could never be drawn there."""
    with Gate(1).admit(7 * MEAN_SKETCH_BYTES):
        pass


@pytest.mark.parametrize("length", [None, "", "-1", "1e3", "99999999999999999999"])
def test_a_body_of_unknown_length_counts_as_the_longest(length: str | None) -> None:
    """What is not announced, or announced beyond the limit, takes the room of the longest body that is read."""
    intake = Intake(20)
    with intake.admit(length), pytest.raises(Unavailable), intake.admit(str(20 * MEAN_SKETCH_BYTES)):
        pytest.fail("there was no room")
    with intake.admit(str(LONGEST_BODY_BYTES)):
        pass


def test_bodies_share_the_room() -> None:
    """Many small ones fit where few large ones do, and each makes room again at its end."""
    intake, large = Intake(10), str(7 * MEAN_SKETCH_BYTES)
    with intake.admit(large), intake.admit(large):
        with pytest.raises(Unavailable) as refused, intake.admit("1000"):
            pytest.fail("there was no room")
        assert refused.value.retry_after_s == RETRY_AFTER_S
    with intake.admit(large), intake.admit("1000"), intake.admit("1000"):
        pass


def test_one_account_has_half_of_the_room_for_what_is_still_to_come() -> None:
    """Whoever announces bodies and sends none keeps nobody else out; what has come is no part of its half."""
    intake, half = Intake(40), str(28 * MEAN_SKETCH_BYTES)
    room = intake.admit(None, "ada")
    with pytest.raises(Unavailable):
        intake.admit(None, "ada")
    with intake.admit(None, "bo"), intake.admit("1000", "ada"):
        assert {"ada", "bo"} == intake.coming_bytes.keys()
    assert {"ada": LONGEST_BODY_BYTES} == intake.coming_bytes
    room.fill()
    with intake.admit(half[:-1], "ada"), intake.admit(None):
        assert {"ada"} == intake.coming_bytes.keys()
    room.shrink(100)
    room.shrink(200)
    assert 100 == intake.held_bytes
    room.give_back()
    room.give_back()
    assert (0, {}) == (intake.held_bytes, intake.coming_bytes)


def test_bodies_without_an_account_share_all_of_the_room() -> None:
    """All deliveries to a worker are from Pub/Sub."""
    intake = Intake(40)
    with intake.admit(None), intake.admit(None), intake.admit(None):
        assert (3 * LONGEST_BODY_BYTES, {}) == (intake.held_bytes, intake.coming_bytes)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9), st.booleans()), max_size=20))
def test_all_room_comes_back(bodies: list[tuple[str, int, bool]]) -> None:
    """In any order, of empty bodies too."""
    intake = Intake(250)
    rooms = [(intake.admit(str(size), account), comes) for account, size, comes in bodies]
    for room, comes in rooms:
        if comes:
            room.fill()
    for room, _ in reversed(rooms):
        room.give_back()
    assert (0, {}) == (intake.held_bytes, intake.coming_bytes)


def test_a_lone_body_always_fits() -> None:
    """The smallest instance can still read the largest sketch, and so can one after a failure."""
    intake = Intake(1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), intake.admit(None):
            raise ZeroDivisionError


def test_an_allowance_is_per_minute() -> None:
    """After the last call of the minute it says when the next one is due."""
    clock = Clock()
    allowance = Allowance(2, clock=clock)
    allowance.spend()
    clock.now_s += 20
    allowance.spend()
    with pytest.raises(StoreUnavailable) as refused:
        allowance.spend()
    assert refused.value.retry_after_s == 40
    clock.now_s += 40
    allowance.spend()
    with pytest.raises(StoreUnavailable) as refused:
        allowance.spend()
    assert refused.value.retry_after_s == 20


def test_no_allowance_is_no_call() -> None:
    """0 fails closed."""
    with pytest.raises(StoreUnavailable) as refused:
        Allowance(0).spend()
    assert refused.value.retry_after_s == 60


@given(st.integers(0, 5), st.lists(st.floats(0, 30), max_size=40))
def test_no_minute_has_more_calls_than_allowed(per_minute: int, pauses_s: list[float]) -> None:
    """However the calls come, any 60 seconds hold at most the allowance."""
    clock = Clock()
    allowance, spent, waits_s = Allowance(per_minute, clock=clock), [], []
    for pause_s in pauses_s:
        clock.now_s += pause_s
        try:
            allowance.spend()
        except StoreUnavailable as refused:
            waits_s.append(refused.retry_after_s or 0)
        else:
            spent.append(clock.now_s)
    assert all(0 < wait_s <= 60 for wait_s in waits_s)
    assert all(sum(at - 60 < other <= at for other in spent) <= per_minute for at in spent)
