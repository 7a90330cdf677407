"""What the model says about its drawing, read leniently and made safe to show."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rubydraw.gemini.metadata import Metadata, read_metadata

DEFAULTS = ("Improved Sketch", "clean flat vector", (), "transparent", "Sketch improved")
SAID = {"title": "A cat", "style": "flat", "palette": ["#112233", "#fff"], "background": "white", "notes": "Smoothed."}
READ = ("A cat", "flat", ("#112233", "#fff"), "white", "Smoothed.")
JSON = json.dumps(SAID)

Words = tuple[str, str, tuple[str, ...], str, str]


def words(metadata: Metadata | None) -> Words | None:
    if metadata is None:
        return None
    return metadata.title, metadata.style, metadata.palette, metadata.background, metadata.notes


def test_defaults_are_those_of_the_contract() -> None:
    """A model that says nothing has these words put into its mouth."""
    assert words(Metadata()) == DEFAULTS


@pytest.mark.parametrize(
    "text",
    [
        JSON,
        json.dumps(SAID, indent=2),
        f"```json\n{JSON}\n```",
        f"```\n{JSON}\n```",
        f"Here is your drawing!\n\n{JSON}\n\nI hope {{you}} like it.",
        f"I used {{curly}} words and {{}} first. {JSON}",
        f'{{"thought": "a cat"}} {JSON}',
        f"{JSON} {json.dumps(SAID | {'title': 'A second one'})}",
        JSON[:-1] + ', "extra": {"deep": [1, 2]}}',
        f"\ufeff{JSON}",
    ],
)
def test_the_object_is_found_in_what_stands_around_it(text: str) -> None:
    """Code fences, prose, braces in prose and unknown fields do not hide the first object of ours."""
    assert words(read_metadata(text)) == READ


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A cat.",
        "{",
        "{}",
        "[]",
        "null",
        '{"a": 1}',
        JSON[:-1],
        "{" * 60_000,
        '{"title": ' + "[" * 50_000,
        "\ud800{",
    ],
)
def test_without_an_object_of_ours_there_is_no_metadata(text: str) -> None:
    """Text without the JSON asked for is told apart from JSON with defaults, and never a failure."""
    assert read_metadata(text) is None


@pytest.mark.parametrize("wrong", [None, 5, True, [], {}, ["a"], {"a": "b"}, "", "  \n", "\u202e\x00", 1e400])
@pytest.mark.parametrize("name", ["title", "style", "background", "notes"])
def test_a_word_of_a_wrong_type_has_its_default(name: str, wrong: object) -> None:
    """One bad field costs the others nothing."""
    assert getattr(Metadata(), name) == getattr(read_metadata(json.dumps(SAID | {name: wrong})), name)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (None, ()),
        ("#fff", ()),
        ({"a": 1}, ()),
        ([1, None, ["#000"], {}, True, "", " "], ()),
        (["red", 5, " #00F "], ("red", "#00F")),
        ([f"#{n:06x}" for n in range(40)], tuple(f"#{n:06x}" for n in range(12))),
        (["x" * 1000], ("x" * 32,)),
    ],
)
def test_palette_is_always_a_short_list_of_short_words(given_: object, expected: tuple[str, ...]) -> None:
    """Whatever is no string is left out; at most 12 colours of 32 characters."""
    metadata = read_metadata(json.dumps(SAID | {"palette": given_}))
    assert metadata is not None
    assert expected == metadata.palette


def test_long_words_are_capped() -> None:
    """120 characters of title, 1,000 of notes."""
    metadata = read_metadata(json.dumps(SAID | {"title": "t" * 5000, "notes": "n" * 5000}))
    assert metadata is not None
    assert (metadata.title, metadata.notes) == ("t" * 120, "n" * 1000)


@pytest.mark.parametrize("title", ["t" * 1_000_000, "{" * 1_000_000])
def test_a_title_of_a_megabyte_is_not_read(title: str) -> None:
    """Far too much text is cut before it is read: then there is no whole object in it."""
    assert read_metadata(json.dumps(SAID | {"title": title})) is None


def test_few_beginnings_of_an_object_are_tried() -> None:
    """Each would be read to the end of the text."""
    assert read_metadata("{" * 19 + json.dumps(SAID)) is not None
    assert read_metadata("{" * 20 + json.dumps(SAID)) is None


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("A\ncat\t!", "A cat !"),
        ("A\x00\x1b[31mcat\x7f\x9b", "A [31mcat"),
        ("cat\u202egnp.exe", "cat gnp.exe"),
        ("\u2066\u2067cat\u2069\u200f\u200e\u061c", "cat"),
        ("A\u2028cat\u2029", "A cat"),
        ("A \ud800 cat", "A   cat"),
        ("<b onclick=x>&amp;</b>", "<b onclick=x>&amp;</b>"),
        ("猫 🐈‍⬛", "猫 🐈‍⬛"),
    ],
)
def test_what_cannot_be_seen_is_taken_out(title: str, shown: str) -> None:
    """Controls, marks that turn the direction of text, and halves of pairs go; markup stays the text it is."""
    metadata = read_metadata(json.dumps(SAID | {"title": title}))
    assert metadata is not None
    assert shown == metadata.title


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet=st.characters(codec=None), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from([*SAID, "other"]), JSON_VALUES))
def test_no_object_gives_anything_but_clean_words(found: dict[str, object]) -> None:
    """Whatever values the model gives, five clean words come out, or nothing where none of ours is named."""
    read = words(read_metadata(json.dumps(found)))
    assert (read is None) == (not found.keys() & SAID.keys())
    for word in read or ():
        for text in (word,) if isinstance(word, str) else word:
            assert 0 < len(text) <= 1000
            assert not any(ord(sign) < 32 or sign in "\u202d\u202e\u2066\u2067" for sign in text)
            text.encode()


@given(st.text(alphabet=st.characters(codec=None), max_size=200))
def test_no_text_crashes(text: str) -> None:
    """Any text is metadata or none."""
    words(read_metadata(text))
    words(read_metadata('{"title": ' + text))
