"""The headers by which a browser lets pages of listed origins, and no others, call the endpoint."""

from __future__ import annotations

from collections.abc import Iterable

METHODS = "GET, POST, OPTIONS"
HEADERS = "content-type, authorization, idempotency-key, prefer, traceparent"
EXPOSED = "retry-after, ratelimit, ratelimit-policy"
MAX_AGE_S = 7_200


class Cors:
    """An exact list of origins. `null`, which sandboxed pages and local files send, is never one."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origins) - {"null"}

    def headers(self, origin: str | None) -> dict[str, str]:
        """Return the headers of every response to this origin."""
        if not self._origins:
            return {}
        if origin not in self._origins:
            return {"vary": "Origin"}
        return {
            "vary": "Origin",
            "access-control-allow-origin": origin or "",
            "access-control-expose-headers": EXPOSED,
        }

    def preflight_headers(self, origin: str | None, methods: str = METHODS) -> dict[str, str]:
        """Return the headers of the response to a preflight request of this origin."""
        if origin not in self._origins:
            return self.headers(origin)
        return {
            **self.headers(origin),
            "access-control-allow-methods": methods,
            "access-control-allow-headers": HEADERS,
            "access-control-max-age": str(MAX_AGE_S),
        }
