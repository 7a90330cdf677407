"""Letters pulled from a subscription that hands them out again while they are still being dealt with."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from cli.letter import Letter
from cli.retained import LETTERS_A_PULL, QUIET_PULLS, Retained

FIRST, SECOND = ([f"{half}{number}" for number in range(LETTERS_A_PULL)] for half in "ab")


class Playing(Retained):
    """Plays pulls, and then for ever the last one."""

    def __init__(self, *pulls: Iterable[str]) -> None:
        super().__init__("http://nowhere", "projects/p/subscriptions/dead")
        self._pulls = [list(pull) for pull in pulls]
        self.count = 0

    async def _pull(self) -> list[Letter]:
        self.count += 1
        names = self._pulls.pop(0) if len(self._pulls) > 1 else self._pulls[0]
        return [Letter(f"ack {self.count}", name, "", {}, b"") for name in names]


async def seen(playing: Playing) -> list[str]:
    return [letter.message_id async for letter in playing.letters()]


async def test_letters_that_come_again_are_not_the_end() -> None:
    """Those that are kept, as soon as their ack deadline has passed: behind them the others are waiting."""
    again = [FIRST[:5]] * QUIET_PULLS
    assert FIRST + SECOND == await seen(Playing(FIRST, *again, SECOND, ()))


@pytest.mark.parametrize("short", [1, LETTERS_A_PULL])
async def test_letters_that_come_again_for_ever_are_the_end(short: int) -> None:
    """With an ack deadline that is shorter than it takes to see them all."""
    playing = Playing(FIRST, SECOND, FIRST[:short])
    assert FIRST + SECOND == await seen(playing)
    assert 2 + 2 * LETTERS_A_PULL // short < playing.count <= 3 + 2 * LETTERS_A_PULL // short
