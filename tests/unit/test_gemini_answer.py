"""What counts in an answer of Gemini, and what says that there will be none."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

import pytest
from google.genai.types import BlockedReason, FinishReason
from rubydraw.errors import BadAnswer, Code, NoImage, SketchError
from rubydraw.gemini.answer import REFUSING, read_answer
from rubydraw.limits.budget import Usage

RETRYABLE_ENDS = {
    *("FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS", "LANGUAGE", "OTHER", "IMAGE_OTHER", "NO_IMAGE"),
    *("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE"),
    *("MALFORMED_RESPONSE", "CONTINUATION"),
}
"""Finish reasons that say nothing final about the sketch: without a picture they are `NO_IMAGE`."""
BLOCKS = {
    *("BLOCKED_REASON_UNSPECIFIED", "SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY"),
    *("MODEL_ARMOR", "JAILBREAK"),
}
"""Why a prompt is blocked: each of them is final."""


def read(answer: object) -> tuple[bytes, str]:
    return read_answer(json.dumps(answer).encode(), bool)


def test_every_finish_reason_of_the_sdk_is_decided_upon() -> None:
    """A reason that a new version adds fails here until it stands in one of the two lists."""
    known = {reason.name for reason in FinishReason}
    assert known == (REFUSING & known) | RETRYABLE_ENDS
    assert set() == REFUSING & RETRYABLE_ENDS


def test_every_block_reason_of_the_sdk_is_decided_upon() -> None:
    """A blocked prompt is final, whatever the reason; a new one is looked at first."""
    assert {reason.name for reason in BlockedReason} == BLOCKS


def test_no_refusing_reason_is_misspelt() -> None:
    """Each is a name of the SDK."""
    assert {reason.name for reason in (*FinishReason, *BlockedReason)} >= REFUSING


@pytest.mark.parametrize("reason", FinishReason)
def test_an_end_without_a_picture_is_refused_or_may_be_tried_again(reason: FinishReason) -> None:
    """Refusing reasons are final, the others NO_IMAGE."""
    with pytest.raises(SketchError) as ended:
        read({"candidates": [{"finishReason": reason.value}]})
    assert ("CONTENT_REFUSED" if reason.name in REFUSING else "NO_IMAGE") == ended.value.code


@pytest.mark.parametrize("reason", BlockedReason)
def test_a_blocked_prompt_is_refused(reason: BlockedReason) -> None:
    """There are no candidates then."""
    with pytest.raises(SketchError) as ended:
        read({"promptFeedback": {"blockReason": reason.value}})
    assert ended.value.code == Code.CONTENT_REFUSED


def parts(*found: Mapping[str, object]) -> tuple[bytes, str]:
    return read({"candidates": [{"content": {"parts": found}, "finishReason": "STOP"}]})


def image(data: bytes, *, thought: bool = False) -> dict[str, object]:
    return {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(data).decode()}, "thought": thought}


def test_the_last_picture_counts() -> None:
    """Drafts come first; text is joined, thoughts are left out."""
    said = ({"text": "hm", "thought": True}, {"text": "a"}, image(b"one"), {"text": "b"}, image(b"two"))
    assert parts(*said) == (b"two", "ab")
    assert parts(image(b"one"), image(b"draft", thought=True)) == (b"one", "")
    assert parts(image(b"early", thought=True), image(b"late", thought=True)) == (b"late", "")


@pytest.mark.parametrize("text", [5, ["a"], {"a": 1}, True])
def test_text_of_another_type_is_left_out(text: object) -> None:
    """The picture beside it has been paid for."""
    assert parts({"text": "a"}, image(b"one"), {"text": text}) == (b"one", "a")


def test_text_alone_is_no_picture() -> None:
    """Neither is a picture without bytes."""
    for said in ({"text": "sorry"}, image(b""), {"inlineData": None}, {}):
        with pytest.raises(NoImage):
            parts(said)


def test_a_field_that_is_null_is_absent() -> None:
    """As ProtoJSON has it."""
    candidate = {"content": {"parts": [{**image(b"one"), "text": None, "thought": None}]}, "finishReason": None}
    assert read({"promptFeedback": None, "candidates": [candidate], "usageMetadata": None}) == (b"one", "")


@pytest.mark.parametrize("alphabet", ["+/", "-_"])
@pytest.mark.parametrize("picture", [b"\xfb\xff\xfe", b"\xfb\xff", b"\xfb"])
def test_both_alphabets_of_base64_are_read(alphabet: str, picture: bytes) -> None:
    """ProtoJSON lets a writer use either, with padding or without."""
    data = base64.b64encode(picture, alphabet.encode()).decode()
    assert parts({"inlineData": {"data": data}}) == (picture, "")
    assert parts({"inlineData": {"data": data.rstrip("=")}}) == (picture, "")


@pytest.mark.parametrize("data", ["!", "Q", "QUJDQ", "Q=Q", "é", 5, ["QUJD"]])
def test_what_is_no_base64_is_a_bad_answer(data: object) -> None:
    """Wrong signs, a length that no bytes have, another type."""
    with pytest.raises(BadAnswer):
        parts({"inlineData": {"data": data}})


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({"totalTokenCount": 1500, "promptTokenCount": 300}, Usage(300, 1200)),
        ({"totalTokenCount": 1500}, Usage(0, 1500)),
        ({"totalTokenCount": 1500, "promptTokenCount": None}, Usage(0, 1500)),
        ({"promptTokenCount": 300}, None),
        ({"totalTokenCount": 100, "promptTokenCount": 300}, None),
        ({"totalTokenCount": 100, "promptTokenCount": -3}, None),
        ({"totalTokenCount": 2_000_000, "promptTokenCount": 2_000_000}, Usage(2_000_000, 0)),
        ({"totalTokenCount": 2_000_001}, None),
        ({"totalTokenCount": 4_600_000_000_000_000_000}, None),
        ({"totalTokenCount": 300, "promptTokenCount": 4_600_000_000_000_000_000}, None),
        ({"totalTokenCount": "many"}, None),
        ({"totalTokenCount": 1e9}, None),
        (["totalTokenCount"], None),
        (7, None),
    ],
)
def test_what_was_used_is_told_where_it_is_said_in_numbers(counts: object, usage: Usage | None) -> None:
    """In numbers that can be, even by an answer without a picture: it was billed."""
    told: list[Usage] = []
    with pytest.raises(NoImage):
        read_answer(json.dumps({"usageMetadata": counts}).encode(), told.append)
    assert told == ([usage] if usage else [])
