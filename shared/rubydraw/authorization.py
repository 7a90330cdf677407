"""Ambient credentials: access tokens for our requests to Google."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Any

from rubydraw.errors import Misconfigured, Unavailable


class Authorization:
    """The authorization header for `url`, from ambient credentials; an `http:` address gets none."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._token = AccessToken(partial(ambient, "pubsub"))

    async def headers(self) -> dict[str, str]:
        """Return the header with a fresh token; raise as AccessToken does."""
        return {} if self._url.startswith("http:") else {"authorization": f"Bearer {await self._token.fresh()}"}


class AccessToken:
    """
    An access token of the credentials that `find` returns.

    All callers that wait share one refresh, in one thread. A caller that gives up waiting does not end the refresh.
    """

    def __init__(self, find: Callable[[], Any]) -> None:
        self._find = find
        self._credentials: Any = None
        self._refreshing: asyncio.Task[type[Misconfigured | Unavailable] | None] | None = None

    async def fresh(self) -> str:
        """Return a valid token; raise Unavailable if the failure may pass, and Misconfigured if it will not."""
        if not (self._credentials and self._credentials.valid and self._credentials.token):
            if self._refreshing is None or self._refreshing.done():
                self._refreshing = asyncio.create_task(self._refresh(), context=Context())  # belongs to no request
            if failure := await asyncio.shield(self._refreshing):
                raise failure
        token: str = self._credentials.token
        return token

    async def _refresh(self) -> type[Misconfigured | Unavailable] | None:
        """Fetch a token; return the error to raise if that fails, because no caller may be left to handle it."""
        try:
            self._credentials = await asyncio.to_thread(_refreshed, self._credentials, self._find)
        except Exception as error:  # its message may name accounts and addresses
            return Unavailable if is_temporary(error) else Misconfigured
        return None


def is_temporary(error: Exception) -> bool:
    """Whether an error of google-auth may pass: the network or the token server failed, not the setup."""
    from google.auth.exceptions import TransportError

    on_the_way = isinstance(error, TransportError) or isinstance(error.__cause__, TransportError)
    return on_the_way or bool(getattr(error, "retryable", False))


def ambient(scope: str) -> Any:
    """Return Application Default Credentials for one API; `scope` is the last part of its scope's URL."""
    import google.auth

    credentials, _ = google.auth.default(scopes=[f"https://www.googleapis.com/auth/{scope}"])
    return credentials


def _refreshed(credentials: Any, find: Callable[[], Any]) -> Any:
    """Return `credentials`, or what `find` returns if there are none yet, with a fresh access token."""
    from google.auth.transport.requests import Request

    credentials = credentials or find()
    credentials.refresh(Request())
    if not credentials.token:  # {"access_token": null}
        raise ValueError("no token")
    return credentials
