"""The subscription that retains dead letters, over REST (reference pages "projects.subscriptions.pull" and others)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import httpx2
from pydantic import BaseModel, Field, ValidationError
from rubydraw.authorization import Authorization
from rubydraw.errors import Misconfigured, SketchError

from cli.failure import Exit, Failure
from cli.letter import Letter, Received

WITHIN_S = 30.0
LETTERS_A_PULL = 20
QUIET_PULLS, PAUSE_S = 3, 0.1
"""A pull may bring nothing though letters are left: only so many in a row mean the end."""
MOST_LETTERS = 10_000
HAND_BACK_AT_ONCE = 500
NO_CREDENTIALS = "There are no Google credentials here; `gcloud auth application-default login` makes them."


class _Done(BaseModel):
    """An answer whose content is not used."""


class _Pulled(BaseModel):
    received: list[Received] = Field([], alias="receivedMessages")


_Answer = TypeVar("_Answer", bound=BaseModel)


class Retained:
    """
    Pulls letters, and on leaving hands back what was not acknowledged.

    Pub/Sub cannot be browsed: a pulled letter is invisible to everybody else until it is handed back or, if this
    process is killed, until the subscription's ack deadline. Nothing but `acknowledge` removes a letter.
    """

    def __init__(self, url: str, name: str) -> None:
        self._url, self._name, self._place = url, name, urlsplit(url).netloc
        self._authorization = Authorization(url)
        self._http = httpx2.AsyncClient(timeout=WITHIN_S, trust_env=False)
        self._held: dict[str, str] = {}
        self._seen: set[str] = set()

    async def letters(self) -> AsyncIterator[Letter]:
        """
        Yield each letter once, until nothing comes, or all have come again and nothing new among them.

        While they are dealt with, those that are kept come again once their ack deadline has passed.
        """
        quiet = again = 0
        while quiet < QUIET_PULLS and again <= len(self._seen) < MOST_LETTERS:
            pulled = await self._pull()
            for letter in pulled:
                self._held[letter.message_id] = letter.ack_id
            new = [letter for letter in pulled if letter.message_id not in self._seen]
            self._seen.update(letter.message_id for letter in new)
            for letter in new:
                yield letter
            again = 0 if new else again + len(pulled)
            quiet = 0 if pulled else quiet + 1
            if 0 < quiet < QUIET_PULLS:
                await asyncio.sleep(PAUSE_S)

    async def acknowledge(self, letter: Letter) -> None:
        """Remove a letter for good."""
        await self._ask("acknowledge", {"ackIds": [self._held.pop(letter.message_id)]}, _Done)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        held = list(self._held.values())
        with suppress(Failure):  # they come back by themselves, later
            for first in range(0, len(held), HAND_BACK_AT_ONCE):
                await self._hand_back(held[first : first + HAND_BACK_AT_ONCE])
        await self._http.aclose()

    async def _hand_back(self, ack_ids: Sequence[str]) -> None:
        await self._ask("modifyAckDeadline", {"ackIds": ack_ids, "ackDeadlineSeconds": 0}, _Done)

    async def _pull(self) -> list[Letter]:
        pulled = await self._ask("pull", {"maxMessages": LETTERS_A_PULL, "returnImmediately": True}, _Pulled)
        return [Letter.of(received) for received in pulled.received]

    async def _ask(self, verb: str, body: dict[str, Any], kind: type[_Answer]) -> _Answer:
        try:
            headers = await self._authorization.headers()
            response = await self._http.post(f"{self._url}/v1/{self._name}:{verb}", json=body, headers=headers)
        except Misconfigured:
            raise Failure(Exit.REFUSED, NO_CREDENTIALS) from None
        except SketchError:
            raise Failure(Exit.TRY_AGAIN, "Google gives no access token now; try again.") from None
        except httpx2.RequestError:
            raise Failure(Exit.NO_ENDPOINT, f"Pub/Sub at {self._place} does not answer.") from None
        match response.status_code:
            case 200:
                return self._read(response.content, kind)
            case 404:
                raise Failure(Exit.REFUSED, f"The subscription {self._name} does not exist at {self._place}.")
            case 401 | 403:
                raise Failure(Exit.REFUSED, f"These credentials may not pull from {self._name}.")
            case 429 | 500 | 502 | 503 | 504 as status:
                raise Failure(Exit.TRY_AGAIN, f"Pub/Sub cannot answer now (status {status}); try again.")
            case status:
                raise Failure(Exit.NO_ENDPOINT, f"{self._place} answers status {status} to a {verb}.")

    def _read(self, body: bytes, kind: type[_Answer]) -> _Answer:
        try:
            return kind.model_validate_json(body)
        except ValidationError:
            raise Failure(Exit.NO_ENDPOINT, f"What answers at {self._place} is not Pub/Sub.") from None
