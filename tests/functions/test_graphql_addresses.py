"""Signed addresses of pictures: the same for a while, then another, and good for half an hour at most."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from tests.functions.tiny_graphql import FOLDER  # puts it on the path

from addresses import STEP_S, Addresses  # isort: skip

assert FOLDER.exists()
SHA256 = "ab" * 32
LAPSED = "The address of this picture has expired; ask for imageUrl again."


def test_a_signed_address_is_the_same_for_a_while_and_lapses() -> None:
    """A browser finds what it has under it; after half an hour at most nobody does."""
    now_s = 10.0 * STEP_S
    addresses = Addresses("k" * 32, "", clock=lambda: now_s)
    first = addresses.of(SHA256, "http://here")
    query = dict(parse_qsl(urlsplit(first).query))
    now_s += STEP_S - 1
    assert first == addresses.of(SHA256, "http://here")
    now_s += 2
    assert first != addresses.of(SHA256, "http://here")
    assert "" == addresses.refusal(SHA256, query)
    now_s = 12.0 * STEP_S
    assert LAPSED == addresses.refusal(SHA256, query)


def test_a_signature_is_of_one_picture_and_one_key() -> None:
    """Neither another picture nor another deployment takes it."""
    query = dict(parse_qsl(urlsplit(Addresses("k" * 32, "").of(SHA256, "")).query))
    assert "" == Addresses("k" * 32, "").refusal(SHA256, query)
    assert Addresses("k" * 32, "").refusal("cd" * 32, query)
    assert Addresses("l" * 32, "").refusal(SHA256, query)
