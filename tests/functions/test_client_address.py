"""Where a request comes from: what Google's front end appended, and nothing that a caller wrote."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functions.tiny_graphql import FOLDER, Incoming  # puts the function's modules on the path

from client_address import client_address  # isort: skip

assert FOLDER


async def receive() -> dict[str, Any]:
    raise AssertionError("nobody reads the body")


def request(*forwarded: str, peer: str = "192.0.2.9") -> Incoming:
    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    scope = {
        "method": "POST", "path": "/", "query_string": b"", "scheme": "http", "headers": headers, "client": (peer, 1),
    }  # fmt: skip
    return Incoming(scope, receive)


@pytest.mark.parametrize(
    ("forwarded", "proxies", "client"),
    [
        (["192.0.2.1"], 1, "192.0.2.1"),
        (["203.0.113.5, 192.0.2.1"], 1, "192.0.2.1"),
        (["203.0.113.5", "192.0.2.1"], 1, "192.0.2.1"),
        (["203.0.113.5, 192.0.2.1, 198.51.100.2"], 2, "192.0.2.1"),
        (["192.0.2.1"], 2, "192.0.2.1"),
        ([], 1, "192.0.2.9"),
        ([""], 1, "192.0.2.9"),
        (["192.0.2.1"], 0, "192.0.2.9"),
        (["2001:db8:1:2:3::4"], 1, "2001:db8:1:2::/64"),
        (["::ffff:192.0.2.1"], 1, "192.0.2.1"),
        (["192.0.2.1, unknown"], 1, ""),
    ],
)
def test_only_what_our_proxies_append_counts(forwarded: list[str], proxies: int, client: str) -> None:
    """From the right: one entry for Cloud Run, two behind a load balancer; without any it is the peer."""
    assert client == client_address(request(*forwarded), proxies)
