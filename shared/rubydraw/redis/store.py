"""One Redis address: short time-outs, one retry on a fresh connection, and a circuit breaker."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hiredis import ReplyError

from rubydraw.errors import StoreUnavailable
from rubydraw.logs import OnceAMinute
from rubydraw.redis.address import CannotConnect, RedisAddress
from rubydraw.redis.connection import Command
from rubydraw.redis.round_trip import RoundTrips, refusal

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

OPEN_S = 2.0
_REFUSALS = frozenset(
    {"OOM", "READONLY", "MISCONF", "NOREPLICAS", "NOAUTH", "WRONGPASS", "NOPERM", "MASTERDOWN", "BUSY"}
    | {"MOVED", "ASK", "CLUSTERDOWN", "CROSSSLOT", "TRYAGAIN"}  # it is a node of a cluster
    | {"WRONGTYPE"}  # somebody else writes under our keys
)
"""Errors by which Redis refuses a command that is not at fault itself (its page "Redis serialization protocol")."""
COMMANDS_AT_ONCE = 32
"""Commands in progress per address: enough to keep Redis busy, few enough that a burst waits here, where
no time-out runs, and not on its sockets."""

_LUA = Path(__file__).parent.parent / "lua"


class Script:
    """A Lua script of ours, sent by its SHA-1, and as a whole only if Redis does not know it yet."""

    def __init__(self, *names: str, steps: Mapping[str, Script] | None = None, flags: str = "") -> None:
        """
        Join the files `names` of `lua/`, in that order; `steps` stand before them as functions of KEYS and ARGV.

        `flags` are Redis' own, such as `allow-oom`.
        """
        before = (f"local function {name}(KEYS, ARGV)\n{step.text}end\n" for name, step in (steps or {}).items())
        head = f"#!lua flags={flags}\n" if flags else ""
        self.text: str = "".join((head, *before, *((_LUA / f"{name}.lua").read_text("utf-8") for name in names)))
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class Call(NamedTuple):
    """A script with its keys and arguments; running it twice has the effect of once, except that it charges twice."""

    script: Script
    keys: list[str]
    args: tuple[Any, ...]

    @property
    def command(self) -> Command:
        return ("EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.args)

    @property
    def whole(self) -> Command:
        return ("EVAL", self.script.text, len(self.keys), *self.keys, *self.args)


class Store:
    """
    Commands to one Redis.

    Every failure raises StoreUnavailable. An outage opens the breaker for 2 s, in which every command fails at once;
    then one command probes. A refusal (out of memory, read-only) does not open it: reads still work.
    `on_loss` is told of outages and refusals, at most once a minute.
    """

    def __init__(
        self,
        address: RedisAddress,
        *,
        on_loss: Callable[[str], object] = bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address, self._round_trips = address, RoundTrips(address)
        self._on_loss, self._loss_is_due = on_loss, OnceAMinute(clock=clock)
        self._clock = clock
        self._slots = asyncio.Semaphore(COMMANDS_AT_ONCE)
        self._broken = False
        self._closed_until = 0.0

    async def command(self, *command: str | bytes | int | float) -> Any:
        """Run one command; raise StoreUnavailable if it is refused, or unanswered for 1 s (more while we are busy)."""
        answers = await self.pipeline(command)
        raise_first(answers)
        return answers[0]

    async def pipeline(self, *commands: Command) -> list[Any]:
        """Send commands in one round trip; an answer that is an error stands in its place."""
        self._admit()
        async with self._slots:
            self._admit()
            self._closed_until = self._clock() + OPEN_S if self._broken else 0.0
            try:
                answers = await self._round_trips.send(commands)
            except OSError as error:
                self._broken, self._closed_until = True, self._clock() + OPEN_S
                self._lost(error.kind if isinstance(error, CannotConnect) else type(error).__name__)
                raise StoreUnavailable from None
            self._broken = False
            if refusals := _REFUSALS.intersection(map(refusal, answers)):
                self._lost(min(refusals))
            return answers

    async def script(self, script: Script, keys: list[str], args: Iterable[Any]) -> Any:
        """Run a script."""
        (answer,) = await self.scripts(Call(script, keys, tuple(args)))
        return answer

    async def scripts(self, *calls: Call | None) -> list[Any]:
        """Run scripts one after the other in one round trip; a None is not sent, and its answer is None."""
        _, answers = await self.together((), *calls)
        raise_first(answers)
        return answers

    async def together(self, commands: Sequence[Command], *calls: Call | None) -> tuple[list[Any], list[Any]]:
        """
        Send commands, and scripts after them, in one round trip; an answer that is an error stands in its place.

        Redis runs them in this order, even if earlier ones fail; only a script unknown to it runs after the others.
        """
        sent = [call for call in calls if call]
        answers = await self.pipeline(*commands, *(call.command for call in sent)) if commands or sent else []
        for number, call in enumerate(sent, len(commands)):
            if refusal(answers[number]) == "NOSCRIPT":  # Redis was restarted, or has never seen it
                (answers[number],) = await self.pipeline(call.whole)
        each = iter(answers[len(commands) :])
        return answers[: len(commands)], [next(each) if call else None for call in calls]

    async def connection(self) -> AbstractConnection:
        """Return an unopened connection of redis-py; the caller opens it, sets its time-outs and closes it."""
        await self._address.load()
        return self._address.unopened()

    async def close(self) -> None:
        await self._round_trips.close()

    def _lost(self, kind: str) -> None:
        if self._loss_is_due():
            self._on_loss(kind)

    def _admit(self) -> None:
        """Fail at once while the breaker is open; the first command after its 2 s becomes the probe."""
        if self._broken and self._clock() < self._closed_until:
            raise StoreUnavailable


def connect(
    url: str,
    ca_cert: str,
    *,
    on_loss: Callable[[str], object] = bool,
    clock: Callable[[], float] = time.monotonic,
) -> Store:
    """Return a Store for a redis: or rediss: address; nothing is opened before the first command."""
    return Store(RedisAddress(url, ca_cert), on_loss=on_loss, clock=clock)


def raise_first(answers: Iterable[Any]) -> None:
    """Raise StoreUnavailable if Redis refused any part of a pipeline."""
    if any(isinstance(answer, ReplyError) for answer in answers):
        raise StoreUnavailable
