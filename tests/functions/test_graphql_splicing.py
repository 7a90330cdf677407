"""JSON with pictures spliced in is the JSON that one dump would have made."""

from __future__ import annotations

import base64
import json
import string
from typing import Any

import pytest
from starlette.types import Message, Scope

from tests.functions.tiny_graphql import FOLDER  # puts it on the path

from splicing import PIECE_BYTES, PiecesResponse, pieces  # isort: skip

assert FOLDER.exists()


@pytest.mark.parametrize("picture", [b"", b"\0", b"\x89PNG\0\xff" * 100_001])
def test_pictures_stand_where_they_belong_whatever_the_words_around_them_hold(picture: bytes) -> None:
    """A NUL, a quote or any printable character in a title, and an empty picture, shift nothing."""
    title = '\0"\0"' + string.printable
    value = {"title": title, "a": {"image": picture}, "list": [b"other", "\0"], "last": picture + b"!"}
    first, last = (base64.b64encode(each).decode() for each in (picture, picture + b"!"))
    expected = {"title": title, "a": {"image": first}, "list": ["b3RoZXI=", "\0"], "last": last}
    assert expected == json.loads(b"".join(pieces(value)))


def test_a_large_picture_is_no_large_piece() -> None:
    """Each piece is what a slow reader has some time for, and what is held for him."""
    assert PIECE_BYTES == max(map(len, pieces({"image": bytes(3 * PIECE_BYTES)})))


def test_a_picture_in_several_places_is_encoded_once() -> None:
    """As aliases have it; another picture has its own."""
    picture, other = bytes(PIECE_BYTES), b"other"
    _, first, last, _, again, again_last, _, another, _ = pieces([picture, picture, other])
    assert first is again
    assert last is again_last
    assert base64.b64encode(picture) == first + last
    assert base64.b64encode(other) == another


async def test_a_large_text_is_sent_in_pieces() -> None:
    """As a picture in an address is, or one that is asked for by its own."""
    text, sent = bytes(at % 251 for at in range(2 * PIECE_BYTES + 1)), []

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http"}
    receive: Any = None
    await PiecesResponse((text,), 200, [])(scope, receive, send)
    assert text == b"".join(message["body"] for message in sent[1:])
    assert [PIECE_BYTES, PIECE_BYTES, 1] == [len(message["body"]) for message in sent[1:]]
    assert [True, True, False] == [message["more_body"] for message in sent[1:]]


def test_what_holds_no_picture_is_one_piece() -> None:
    """And it is plain JSON."""
    assert (b'{"title":"\\u0000"}',) == pieces({"title": "\0"})


def test_what_is_no_json_is_refused() -> None:
    """Only bytes are pictures."""
    with pytest.raises(TypeError):
        pieces({"title": object()})


async def test_a_response_announces_its_length_and_ends_with_its_last_piece() -> None:
    """Each piece is a message of its own, and none follows the last."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http"}
    receive: Any = None
    await PiecesResponse((b"12", b"", b"345"), 200, [(b"x-a", b"b")])(scope, receive, send)
    start, *bodies = sent
    assert [(b"x-a", b"b"), (b"content-length", b"5")] == start["headers"]
    assert [(b"12", True), (b"", True), (b"345", False)] == [(each["body"], each["more_body"]) for each in bodies]
