"""A refusal: the request is answered with an HTTP error status, and nothing of it is executed."""

from __future__ import annotations

from collections.abc import Mapping


class Refused(Exception):
    """`status`, `message` and `headers` go to the client, and `code`, where there is one, beside the message."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None, *, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}
        self.code = code
