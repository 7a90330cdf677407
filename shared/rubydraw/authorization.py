"""Ambient credentials: an access token for what we send to Google ourselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Any

from rubydraw.errors import Misconfigured, Unavailable


class Authorization:
    """Ambient credentials for `url`, as a header; for an `http:` address there is none."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._token = AccessToken(partial(ambient, "pubsub"))

    async def headers(self) -> dict[str, str]:
        """Return the header with a fresh token; raise as AccessToken does."""
        return {} if self._url.startswith("http:") else {"authorization": f"Bearer {await self._token.fresh()}"}


class AccessToken:
    """
    A token of the credentials that `find` returns.

    It is fetched once for all who wait for it, in one thread at a time: whoever gives up waiting does not end it.
    """

    def __init__(self, find: Callable[[], Any]) -> None:
        self._find = find
        self._credentials: Any = None
        self._refreshing: asyncio.Task[type[Misconfigured | Unavailable] | None] | None = None

    async def fresh(self) -> str:
        """Return one that is good; raise Misconfigured where there is none, Unavailable where not now."""
        if not (self._credentials and self._credentials.valid and self._credentials.token):
            if self._refreshing is None or self._refreshing.done():
                self._refreshing = asyncio.create_task(self._refresh(), context=Context())  # of no request
            if failure := await asyncio.shield(self._refreshing):
                raise failure
        token: str = self._credentials.token
        return token

    async def _refresh(self) -> type[Misconfigured | Unavailable] | None:
        """Fetch a token; return what to raise where none came, for nobody may be left to raise it to."""
        try:
            self._credentials = await asyncio.to_thread(_refreshed, self._credentials, self._find)
        except Exception as error:  # its text may name accounts and addresses
            return Unavailable if may_pass(error) else Misconfigured
        return None


def may_pass(error: Exception) -> bool:
    """Whether an error of google-auth is one of the way to a token, or of its server, and not of what is set up."""
    from google.auth.exceptions import TransportError

    on_the_way = isinstance(error, TransportError) or isinstance(error.__cause__, TransportError)
    return on_the_way or bool(getattr(error, "retryable", False))


def ambient(scope: str) -> Any:
    """Return Application Default Credentials that allow one API: the last word of its scope."""
    import google.auth

    credentials, _ = google.auth.default(scopes=[f"https://www.googleapis.com/auth/{scope}"])
    return credentials


def _refreshed(credentials: Any, find: Callable[[], Any]) -> Any:
    """Return the same with a fresh access token, or those that are found where there are none yet."""
    from google.auth.transport.requests import Request

    credentials = credentials or find()
    credentials.refresh(Request())
    if not credentials.token:  # {"access_token": null}
        raise ValueError("no token")
    return credentials
