"""One Redis address: short time-outs, one retry on a fresh connection, and a breaker before them."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from importlib.resources import files
from typing import Any, NamedTuple

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, NoScriptError, ReadOnlyError, RedisError

from rubydraw.errors import StoreUnavailable
from rubydraw.patience import Patience
from rubydraw.round_trip import Commands, RoundTrips

COMMAND_TIMEOUT_S = 0.5
OPEN_S = 2.0
COMMANDS_AT_ONCE = 32
"""Commands in progress per address: enough to keep Redis busy, few enough that a burst waits here, where
no time-out runs, and not on its sockets."""

_OUTAGE = (ConnectionError, OSError)  # the built-in TimeoutError is an OSError


class Script:
    """A Lua script of ours, sent by its SHA-1 and whole only where Redis does not know it yet."""

    def __init__(self, *names: str) -> None:
        """Join the files `names` of `lua/`, in that order."""
        folder = files("rubydraw") / "lua"
        self.text = "".join((folder / f"{name}.lua").read_text("utf-8") for name in names)
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class Call(NamedTuple):
    """A script with its keys and arguments; running it twice is as good as once."""

    script: Script
    keys: list[str]
    args: tuple[Any, ...]

    def queue(self, pipe: Any) -> None:
        pipe.evalsha(self.script.sha, len(self.keys), *self.keys, *self.args)

    def queue_whole(self, pipe: Any) -> None:
        pipe.eval(self.script.text, len(self.keys), *self.keys, *self.args)


class Store:
    """
    Commands to one Redis.

    Whatever goes wrong is StoreUnavailable. An outage opens the breaker for 2 s, in which every command fails at
    once; then one command probes. A refused write (out of memory, read-only) does not: reads still work.
    """

    def __init__(self, client: Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._round_trips = client, RoundTrips(client)
        self._clock = clock
        self._slots = asyncio.Semaphore(COMMANDS_AT_ONCE)
        self._broken = False
        self._closed_until = 0.0

    async def run(self, command: Callable[[Redis], Awaitable[Any]]) -> Any:
        """Run one command, or one pipeline; raise StoreUnavailable after 1 s at most."""
        self._admit()
        async with self._slots:
            self._admit()
            self._closed_until = self._clock() + OPEN_S if self._broken else 0.0
            try:
                answer = await self._in_time(command)
            except _OUTAGE:
                self._broken, self._closed_until = True, self._clock() + OPEN_S
                raise StoreUnavailable from None
            except RedisError:
                self._broken = False
                raise StoreUnavailable from None
            self._broken = False
            return answer

    async def pipeline(self, fill: Callable[[Any], object], *, atomic: bool = False) -> list[Any]:
        """Send what `fill` queues in one round trip; an answer that is an error stands in its place."""
        if atomic:
            return await self._transaction(fill)
        commands = Commands()
        fill(commands)
        answers: list[Any] = await self.run(lambda _: self._round_trips.send(commands))
        return answers

    async def script(self, script: Script, keys: list[str], args: Iterable[Any]) -> Any:
        """Run a script."""
        (answer,) = await self.scripts(Call(script, keys, tuple(args)))
        return answer

    async def scripts(self, *calls: Call | None) -> list[Any]:
        """Run scripts one after the other in one round trip; None is not sent, and is its own answer."""
        sent = [call for call in calls if call]
        if not sent:
            return [None] * len(calls)
        answers = await self.pipeline(lambda pipe: [call.queue(pipe) for call in sent])
        for number, (call, answer) in enumerate(zip(sent, answers, strict=True)):
            if isinstance(answer, NoScriptError):
                (answers[number],) = await self.pipeline(call.queue_whole)
        raise_first(answers)
        each = iter(answers)
        return [next(each) if call else None for call in calls]

    def connection(self) -> AbstractConnection:
        """Return a connection beside the pool, unopened; whoever has it opens it, times it and closes it."""
        connection: AbstractConnection = self._client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        return connection

    async def close(self) -> None:
        await self._round_trips.close()
        await self._client.aclose()

    async def _transaction(self, fill: Callable[[Any], object]) -> list[Any]:
        async def send(client: Redis) -> list[Any]:
            pipe = client.pipeline()
            fill(pipe)
            answers: list[Any] = await pipe.execute(raise_on_error=False)
            for answer in answers:
                if isinstance(answer, _OUTAGE):  # still loading, say
                    raise answer
            return answers

        answers: list[Any] = await self.run(send)
        return answers

    async def _in_time(self, command: Callable[[Redis], Awaitable[Any]]) -> Any:
        """Give a command 0.5 s, and once more on a fresh connection; raise TimeoutError."""
        for _ in range(2):
            with suppress(TimeoutError), Patience(COMMAND_TIMEOUT_S):
                return await command(self._client)
        raise TimeoutError

    def _admit(self) -> None:
        """Fail at once while the breaker is open; the one who finds its time over becomes the probe."""
        if self._broken and self._clock() < self._closed_until:
            raise StoreUnavailable


def connect(url: str, ca_cert: str) -> Store:
    """Return a Store for a redis: or rediss: address; nothing is opened before the first command."""
    tls: dict[str, Any] = {}
    if url.startswith("rediss:"):
        # Since Python 3.13 a certificate must also follow RFC 5280 to the letter, and private authorities' do not:
        # the chain is checked all the same.
        tls["ssl_exclude_verify_flags"] = [ssl.VerifyFlags.VERIFY_X509_STRICT]
        tls |= {"ssl_ca_data": ca_cert} if ca_cert else {}
    pool = ConnectionPool.from_url(
        url,
        max_connections=COMMANDS_AT_ONCE * 4,
        # Store times each command, connecting included: redis-py's own time-outs are nested and would add up.
        socket_timeout=None,
        socket_connect_timeout=None,
        # A replica that has just lost its role answers READONLY: a fresh connection finds the new primary.
        retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionError, ReadOnlyError)),
        driver_info=None,  # telling Redis the library's name would cost each new connection two round trips
        **tls,
    )
    return Store(Redis.from_pool(pool))


def raise_first(answers: Iterable[Any]) -> None:
    """Raise StoreUnavailable if Redis refused any part of a pipeline."""
    if any(isinstance(answer, Exception) for answer in answers):
        raise StoreUnavailable
