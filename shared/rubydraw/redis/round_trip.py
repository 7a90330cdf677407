"""Commands to Redis in one round trip: half a second for it, and one retry on a fresh connection."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from hiredis import ReplyError

from rubydraw.redis.address import RedisAddress
from rubydraw.redis.connection import Command, Connection
from rubydraw.redis.patience import Patience

COMMAND_TIMEOUT_S = 0.5


class RoundTrips:
    """As many connections as there were round trips at once; an idle one is reused before a new one is opened."""

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._idle: list[Connection] = []

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """
        Return the answers, an error of Redis in its place; raise OSError if Redis does not answer within a second, as
        Patience counts it.

        The commands are sent once more, on a fresh connection, if the first one is lost or silent, or leads to a Redis
        that is still loading, or to a former primary that is now a replica and answers READONLY.
        """
        await self._address.load()
        with suppress(OSError), Patience(COMMAND_TIMEOUT_S):  # the built-in TimeoutError is an OSError
            answers = await self._exchange(self._idle_one() or await self._address.open(), commands)
            if "READONLY" not in map(refusal, answers):
                return answers
        with Patience(COMMAND_TIMEOUT_S):
            return await self._exchange(await self._address.open(), commands)

    async def close(self) -> None:
        while connection := self._idle_one():
            await connection.close()

    async def _exchange(self, connection: Connection, commands: Sequence[Command]) -> list[Any]:
        try:
            answers = await connection.ask(commands)
        except BaseException:  # cancelled, too
            connection.drop()
            raise
        refusals = {refusal(answer) for answer in answers if isinstance(answer, ReplyError)}
        if refusals & {"LOADING", "READONLY"}:
            connection.drop()
        else:
            self._idle.append(connection)
        if "LOADING" in refusals:
            raise ConnectionError("Redis has only just been started")
        return answers

    def _idle_one(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.lost:
                return connection
        return None


def refusal(answer: Any) -> str:
    """Return the first word of an error of Redis, or an empty string if `answer` is no error."""
    return str(answer).partition(" ")[0] if isinstance(answer, ReplyError) else ""
