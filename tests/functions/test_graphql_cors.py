"""Which origins a browser lets in."""

from __future__ import annotations

import httpx2
import pytest

from tests.functions.tiny_graphql import ORIGIN, TinyService


async def ask(service: TinyService, method: str, origin: str | None) -> httpx2.Response:
    headers = {"origin": origin, "access-control-request-method": "POST"} if origin else {}
    async with service.client() as client:
        return await client.request(method, "/graphql", params={"query": "{ __typename }"}, headers=headers)


def allowed(response: httpx2.Response) -> set[str]:
    return {name for name in response.headers if name.startswith("access-control-")}


async def test_a_listed_origin_may_read_every_answer() -> None:
    """Answers to a listed origin name it, and never allow credentials."""
    for method in ("GET", "DELETE"):
        response = await ask(TinyService(), method, ORIGIN)
        assert {"access-control-allow-origin", "access-control-expose-headers"} == allowed(response)
        assert "retry-after, ratelimit, ratelimit-policy" == response.headers["access-control-expose-headers"]
        assert (ORIGIN, "Origin") == (
            response.headers["access-control-allow-origin"],
            response.headers["vary"],
        )


async def test_a_preflight_of_a_listed_origin_is_granted() -> None:
    """A preflight names the methods and headers that the contract needs."""
    response = await ask(TinyService(), "OPTIONS", ORIGIN)
    assert (204, b"") == (response.status_code, response.content)
    assert ORIGIN == response.headers["access-control-allow-origin"]
    assert "GET, POST, OPTIONS" == response.headers["access-control-allow-methods"]
    expected = "content-type, authorization, idempotency-key, prefer, traceparent"
    assert expected == response.headers["access-control-allow-headers"]
    assert "7200" == response.headers["access-control-max-age"]


@pytest.mark.parametrize(
    "origin", [None, "null", "http://localhost:5174", "http://localhost:5173.evil.example", ORIGIN.upper()]
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_any_other_origin_gets_no_permission(method: str, origin: str | None) -> None:
    """Origins are compared exactly, and `null` is refused even when it is listed."""
    response = await ask(TinyService(cors_origins=(ORIGIN, "null")), method, origin)
    assert (set(), "Origin") == (allowed(response), response.headers["vary"])


async def test_an_empty_list_allows_nobody_and_varies_by_nothing() -> None:
    """Without configured origins there are no CORS headers at all."""
    response = await ask(TinyService(cors_origins=()), "GET", ORIGIN)
    assert (200, set(), False) == (response.status_code, allowed(response), "vary" in response.headers)
