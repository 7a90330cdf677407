"""A sketch put where the SDK leaves room: what is sent is what the SDK would have sent, byte for byte."""

from __future__ import annotations

import json

import pybase64
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rubydraw.gemini.exchange import PIECE_BYTES, Exchange, current, exchanging


def part(png: bytes) -> dict[str, object]:
    return {"inlineData": {"data": pybase64.urlsafe_b64encode(png).decode(), "mimeType": "image/png"}}


def body(*parts: dict[str, object]) -> bytes:
    """A request as the SDK writes it."""
    return json.dumps({"contents": [{"parts": parts, "role": "user"}]}).encode()


async def carried(png: bytes, text: str) -> tuple[bytes, int]:
    """What is sent, and how long it says it is."""
    placed = Exchange(png, text).body(body())
    return b"".join([piece async for piece in placed]), placed.length_bytes


@pytest.mark.parametrize("size", [1, 2, 3, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 2])
async def test_pieces_make_the_whole(size: int) -> None:
    """However long the sketch, and wherever it is cut."""
    png = bytes(at % 251 for at in range(size))
    whole = body(part(png), {"text": "Redraw it."})
    assert (whole, len(whole)) == await carried(png, "Redraw it.")


@given(st.text(alphabet='"\\ek\u2028\U0001f3a8', max_size=9))
async def test_words_are_sent_as_they_are(quotes: str) -> None:
    """Even those that look like the room for them, with the quotes around it."""
    words = quotes + '"parts": []' + quotes
    whole = body(part(b"\xff\xfe"), {"text": words})
    assert (whole, len(whole)) == await carried(b"\xff\xfe", words)


@pytest.mark.parametrize("content", [body({"text": "a"}), b'{"parts": [], "contents": [{"parts": []}]}'])
def test_nothing_is_sent_without_the_sketch(content: bytes) -> None:
    """Should the SDK write its requests in another way, no call is paid for."""
    with pytest.raises(ValueError, match="values to unpack"):
        Exchange(b"\xff\xfe", "Redraw it.").body(content)


def test_an_exchange_ends_with_its_block() -> None:
    """Asking what a model is is none, and is sent as it is; what was carried is not held any longer."""
    with exchanging(b"\xff\xfe", "Redraw it.") as exchange:
        assert current() is exchange
        exchange.answer = b"{}"
    assert current() is None
    assert (b"", b"") == (exchange._png, exchange.answer)
