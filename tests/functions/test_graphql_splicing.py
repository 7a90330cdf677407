"""JSON with pictures spliced in is the JSON that one dump would have made."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from starlette.types import Message, Scope

from tests.functions.tiny_graphql import FOLDER  # puts it on the path

from splicing import PiecesResponse, pieces  # isort: skip

assert FOLDER.exists()


@pytest.mark.parametrize("picture", [b"", b"\0", b"\x89PNG\0\xff" * 1000])
def test_pictures_stand_where_they_belong_whatever_the_words_around_them_hold(picture: bytes) -> None:
    """A NUL or a quote in a title, and an empty picture, shift nothing."""
    value = {"title": '\0"\0"', "a": {"image": picture}, "list": [b"other", "\0"], "last": picture}
    encoded = base64.b64encode(picture).decode()
    expected = {"title": '\0"\0"', "a": {"image": encoded}, "list": ["b3RoZXI=", "\0"], "last": encoded}
    assert expected == json.loads(b"".join(pieces(value)))


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
    await PiecesResponse((b"12", b"", b"345"), 200, {"x-a": "b"})(scope, receive, send)
    start, *bodies = sent
    assert [(b"x-a", b"b"), (b"content-length", b"5")] == start["headers"]
    assert [(b"12", True), (b"", True), (b"345", False)] == [(each["body"], each["more_body"]) for each in bodies]
