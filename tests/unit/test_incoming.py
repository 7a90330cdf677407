"""A request's header fields: read once, whatever their number."""

from __future__ import annotations

from typing import Any

from tests.functions.tiny_graphql import Incoming


class Name(bytes):
    """A field name that counts how often it is compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Name.compared += 1
        return bytes.__eq__(self, other)

    __hash__ = bytes.__hash__


def incoming(*fields: tuple[bytes, bytes]) -> Incoming:
    async def receive() -> Any: ...

    scope = {"method": "GET", "path": "/", "query_string": b"", "scheme": "http", "headers": list(fields)}
    return Incoming(scope, receive)


def test_values_of_a_repeated_field_are_joined() -> None:
    """In their order; white space around the whole is no part of it."""
    asked = incoming((b"accept", b"a "), (b"x", b" 1\t"), (b"accept", b"b"))
    assert ("a , b", "1", None) == (asked.header(b"accept"), asked.header(b"x"), asked.header(b"y"))


def test_a_repeated_field_among_thousands_costs_no_search_for_each() -> None:
    """Anybody may send them: 8,000 in 52 KB would stop everybody else for 1.5 s."""
    names = [Name(b"n%d" % number) for number in range(2_000)]
    incoming(*((name, b"") for name in (*names, Name(b"n7"))))
    assert Name.compared < 3 * len(names)
