"""JSON with pictures spliced in is the JSON that one dump would have made."""

from __future__ import annotations

import base64
import json
import string
from typing import Any

import pytest
from starlette.types import Message, Scope

from tests.functions.tiny_graphql import FOLDER  # puts it on the path

from splicing import PIECE_BYTES, Pieces, PiecesResponse, pieces, text_of  # isort: skip

assert FOLDER.exists()


@pytest.mark.parametrize("picture", [b"", b"\0", b"\x89PNG\0\xff" * 100_001])
def test_pictures_stand_where_they_belong_whatever_the_words_around_them_hold(picture: bytes) -> None:
    """A NUL, a quote or any printable character in a title, and an empty picture, shift nothing."""
    title = '\0"\0"' + string.printable
    value = {"title": title, "a": {"image": picture}, "list": [b"other", "\0"], "last": picture + b"!"}
    first, last = (base64.b64encode(each).decode() for each in (picture, picture + b"!"))
    expected = {"title": title, "a": {"image": first}, "list": ["b3RoZXI=", "\0"], "last": last}
    assert expected == json.loads(b"".join(map(text_of, pieces(value))))


def test_a_large_picture_is_no_large_piece() -> None:
    """Each piece is what a slow reader has some time for, and what is held for him."""
    assert PIECE_BYTES == max(len(text_of(piece)) for piece in pieces({"image": bytes(3 * PIECE_BYTES)}))


def test_a_picture_is_encoded_only_when_it_is_sent() -> None:
    """Until then each of its parts is a view of it, wherever it stands: no copy, and no base64."""
    picture = bytes(PIECE_BYTES)
    _, *parts, _, again, again_last, _ = pieces([picture, picture])
    assert [True] * 4 == [isinstance(part, memoryview) and part.obj is picture for part in (*parts, again, again_last)]
    assert base64.b64encode(picture) == b"".join(map(text_of, parts))


async def sent(response: PiecesResponse) -> list[Message]:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    scope: Scope = {"type": "http"}
    receive: Any = None
    await response(scope, receive, send)
    return messages


async def test_a_large_text_is_sent_in_pieces() -> None:
    """As a picture in an address is, or one that is asked for by its own."""
    text = bytes(at % 251 for at in range(2 * PIECE_BYTES + 1))
    _, *bodies = await sent(PiecesResponse((text,), 200, []))
    assert text == b"".join(each["body"] for each in bodies)
    assert [PIECE_BYTES, PIECE_BYTES, 1] == [len(each["body"]) for each in bodies]
    assert [True, True, False] == [each["more_body"] for each in bodies]


def test_what_holds_no_picture_is_one_piece() -> None:
    """And it is plain JSON."""
    assert (b'{"title":"\\u0000"}',) == pieces({"title": "\0"})


def test_what_is_no_json_is_refused() -> None:
    """Only bytes are pictures."""
    with pytest.raises(TypeError):
        pieces({"title": object()})


@pytest.mark.parametrize("parts", [(b"12", b"", b"345"), (b"12", memoryview(b"1234"), b"345"), (b"\0" * 5,)])
async def test_a_response_announces_its_length_and_ends_with_its_last_piece(parts: Pieces) -> None:
    """Each piece is a message of its own, and none follows the last."""
    start, *bodies = await sent(PiecesResponse(parts, 200, [(b"x-a", b"b")]))
    texts = [text_of(part) for part in parts]
    assert texts == [each["body"] for each in bodies]
    assert [True] * (len(texts) - 1) + [False] == [each["more_body"] for each in bodies]
    assert [(b"x-a", b"b"), (b"content-length", b"%d" % len(b"".join(texts)))] == start["headers"]


@pytest.mark.parametrize("size", [0, 1, 2, 3, PIECE_BYTES // 4 * 3, PIECE_BYTES])
async def test_the_length_of_a_picture_is_known_before_it_is_encoded(size: int) -> None:
    """With the padding at its end, and only there."""
    start, *bodies = await sent(PiecesResponse(pieces({"image": bytes(size)}), 200, []))
    told = b"".join(each["body"] for each in bodies)
    assert [(b"content-length", b"%d" % len(told))] == start["headers"]
    assert bytes(size) == base64.b64decode(json.loads(told)["image"], validate=True)
