"""A sketch put in place of its placeholder: what is sent is what the SDK would have sent, byte for byte."""

from __future__ import annotations

import json

import httpx2
import pybase64
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rubydraw.upload import PIECE_BYTES, PLACEHOLDER, put_in_place, sent

ADDRESS = "http://127.0.0.1/v1/models/m:generateContent"


def body(first: dict[str, object], text: str) -> bytes:
    """A request as the SDK writes it."""
    return json.dumps({"contents": [{"parts": [first, {"text": text}], "role": "user"}]}).encode()


def part(png: bytes) -> dict[str, object]:
    return {"inlineData": {"data": pybase64.urlsafe_b64encode(png).decode(), "mimeType": "image/png"}}


HELD: dict[str, object] = {"text": PLACEHOLDER}


async def carried(png: bytes, content: bytes) -> tuple[bytes, int]:
    """What is sent, and how long it says it is."""
    request = httpx2.Request("POST", ADDRESS, content=content)
    with sent(png):
        for _ in range(2):  # a redirect comes by the hook again
            await put_in_place(request)
    assert isinstance(request.stream, httpx2.AsyncByteStream)
    return b"".join([piece async for piece in request.stream]), int(request.headers["content-length"])


@pytest.mark.parametrize("size", [1, 2, 3, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 2])
async def test_pieces_make_the_whole(size: int) -> None:
    """However long the sketch, and wherever it is cut."""
    png = bytes(at % 251 for at in range(size))
    whole = body(part(png), "Redraw it.")
    assert (whole, len(whole)) == await carried(png, body(HELD, "Redraw it."))


@given(st.text(alphabet='"\\ek', max_size=9))
async def test_words_cannot_look_like_the_placeholder(quotes: str) -> None:
    """Even with the quotes around it."""
    words = quotes + json.dumps(HELD) + quotes
    assert body(part(b"\xff\xfe"), words) == (await carried(b"\xff\xfe", body(HELD, words)))[0]


async def test_nothing_is_sent_without_the_sketch() -> None:
    """Should the SDK write its requests in another way, no call is paid for."""
    with pytest.raises(ValueError, match="not enough values"):
        await carried(b"\xff\xfe", b'{"contents": []}')


async def test_other_requests_pass() -> None:
    """Asking what a model is carries no sketch."""
    request = httpx2.Request("POST", ADDRESS, content=b"{}")
    await put_in_place(request)
    assert (b"{}", "2") == (request.content, request.headers["content-length"])
    assert isinstance(request.stream, httpx2.ByteStream)
