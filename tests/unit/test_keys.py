"""Redis keys and how long they live, as the design's one page has them."""

from __future__ import annotations

import hashlib
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rubydraw import keys, sketch

DIGEST = "ab" * 32
REQUEST_ID = "0b8f3a52-6c1d-4e7f-9a3b-5d2c1e4f6a7b"


def test_keys_are_those_of_the_design() -> None:
    """Front ends, operators and other revisions rely on the names."""
    assert [
        f"improve_sketch:v1:{DIGEST}",
        f"improve_sketch:image:{DIGEST}",
        f"improve_sketch:status:{{{REQUEST_ID}}}",
        f"improve_sketch:{REQUEST_ID}",
        f"improve_sketch:flight:{DIGEST}",
        f"improve_sketch:refused:{DIGEST}",
        "improve_sketch:cooldown",
        "improve_sketch:durations",
    ] == [
        keys.result(DIGEST),
        keys.image(DIGEST),
        keys.status(REQUEST_ID),
        keys.channel(REQUEST_ID),
        keys.flight(DIGEST),
        keys.refused(DIGEST),
        keys.COOLDOWN,
        keys.DURATIONS,
    ]


def test_the_version_in_the_key_is_that_of_the_digest() -> None:
    """What is kept under another version is another drawing."""
    assert f":{sketch.KEY_VERSION}:" in keys.result(DIGEST)


def test_lives_are_those_of_the_design() -> None:
    """7 days; 65 minutes; 24 hours; one hour; 10 minutes; 5 s."""
    minute_ms = 60_000
    assert [7 * 24 * 60 * minute_ms, 65 * minute_ms, 65 * minute_ms] == [
        keys.RESULT_MS,
        keys.RESULT_WITH_FALLBACK_METADATA_MS,
        keys.RESULT_OF_A_SETTLED_JOB_MS,
    ]
    assert [24 * 60 * minute_ms, 60 * minute_ms, 24 * 60 * minute_ms] == [
        keys.UNSETTLED_JOB_MS,
        keys.SETTLED_JOB_MS,
        keys.IDEMPOTENCY_MS,
    ]
    assert [5_000, 10 * minute_ms, 15_000, 120_000] == [
        keys.FAILED_FLIGHT_MS,
        keys.REFUSED_MS,
        keys.FIRST_COOLDOWN_MS,
        keys.LONGEST_COOLDOWN_MS,
    ]


@pytest.mark.parametrize(
    ("script", "lives"),
    [
        ("job", {"UNSETTLED_MS": keys.UNSETTLED_JOB_MS, "SETTLED_MS": keys.SETTLED_JOB_MS}),
        ("kept", {"LIFE_MS": keys.RESULT_OF_A_SETTLED_JOB_MS}),
    ],
)
def test_lives_that_scripts_set_are_those_of_the_page(script: str, lives: dict[str, int]) -> None:
    """They stand in the scripts as products of numbers."""
    head = (Path(keys.__file__).parent / "lua" / f"{script}.lua").read_text()
    [names, values] = re.findall(r"^local (.*_MS) = (.*)$", head, re.MULTILINE)[0]
    numbers = [math.prod(map(int, value.split("*"))) for value in values.split(",")]
    assert lives.items() <= dict(zip(names.split(", "), numbers, strict=True)).items()


def test_a_result_outlives_the_jobs_that_name_it() -> None:
    """A settled job never points to nothing."""
    shortest_ms = min(keys.RESULT_WITH_FALLBACK_METADATA_MS, keys.RESULT_OF_A_SETTLED_JOB_MS)
    assert shortest_ms > keys.SETTLED_JOB_MS


def test_an_idempotency_key_is_hashed() -> None:
    """What a client chose is no part of a Redis key."""
    named = hashlib.sha256(b"5:ownerkey *\n").hexdigest()
    assert f"improve_sketch:idempotency:{{{named}}}" == keys.idempotency("owner", "key *\n")


@pytest.mark.parametrize(
    ("one", "other"), [(("a", "bc"), ("ab", "c")), (("", "1:a"), ("1", ":a")), (("1", "1"), ("11", ""))]
)
def test_owner_and_key_cannot_run_into_each_other(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Nobody can choose a key that is another owner's."""
    assert keys.idempotency(*one) != keys.idempotency(*other)


@given(st.tuples(st.text("0123:ab", max_size=5), st.text("0123:ab", max_size=5)), st.integers(-5, 5))
def test_moving_characters_between_owner_and_key_changes_the_name(pair: tuple[str, str], by: int) -> None:
    """Length-prefixed, so that no two pairs share a name."""
    joined, at = "".join(pair), len(pair[0]) + by
    moved = joined[: max(at, 0)], joined[max(at, 0) :]
    assert (pair == moved) == (keys.idempotency(*pair) == keys.idempotency(*moved))
