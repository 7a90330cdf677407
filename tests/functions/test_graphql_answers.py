"""Answers in the words of the contract: what nobody selected is not made."""

from __future__ import annotations

import base64

from tests.functions.tiny_graphql import FOLDER  # puts it on the path
from tests.sketches import drawing

import answers  # isort: skip

assert FOLDER.exists()


def test_a_new_picture_is_a_field_only_where_it_was_asked_for() -> None:
    """A miss has it at hand all the same: whoever needs it in an address gets it there."""
    made = drawing()
    url = f"data:image/png;base64,{base64.b64encode(made.image).decode()}"
    for with_image, field in ((True, made.image), (False, b"")):
        words = answers.result("d1", made, "MISS", with_image=with_image)
        assert (field, url) == (words["imageBase64"], answers.data_url(words))


def test_a_picture_is_in_two_data_urls_at_most() -> None:
    """Sixteen aliases would hold sixteen copies of it, in an outage."""
    words = answers.result("d1", drawing(), "MISS", with_image=False)
    assert [True, True, False, False] == [bool(answers.data_url(words)) for _ in range(4)]


def test_a_picture_that_is_not_at_hand_has_no_data_url() -> None:
    """A hit that selects words alone never had it."""
    assert "" == answers.data_url(answers.result("d1", drawing(image=b""), "HIT", with_image=False))
