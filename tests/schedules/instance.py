"""One instance of the service in this process: the wiring's real parts, behind a network at which it can die."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

from rubydraw import wiring
from rubydraw.principal import Principal
from rubydraw.redis.store import COMMANDS_AT_ONCE
from rubydraw.settings import Settings

from tests.contract.wire_proxy import WireProxy

_owner: ContextVar[Instance | None] = ContextVar("owner", default=None)


def owned(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any], **how: Any
) -> asyncio.Task[Any]:
    """The task factory of the loop: each task belongs to the instance in which it was begun."""
    task = asyncio.Task(coroutine, loop=loop, **how)
    if owner := _owner.get():
        owner.tasks.add(task)
    return task


class MortalWire(WireProxy):
    """A way to Redis on which the instance dies at one of its next commands, before or after it is carried out."""

    left: int = -1
    arrives: bool = False
    dead: bool = False

    async def _up(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        while data := await reader.read(2**20):
            if self.dead:
                raise ConnectionResetError
            if self.drop:
                self.drop -= 1
                raise ConnectionResetError
            if self.left == 0:
                self.dead = True
                if self.arrives:
                    server.write(data)
                    await server.drain()
                raise ConnectionResetError
            self.left -= 1
            server.write(data)
        server.close()

    def die_at(self, command: int, *, arrives: bool) -> None:
        """Have nothing come through any more from the `command`-th one on; that one itself if it `arrives`."""
        self.left, self.arrives = command, arrives


class Instance:
    """Submits, works and improves until it dies; then nothing of it reaches anybody."""

    def __init__(self, redis_port: int, environment: dict[str, str]) -> None:
        self.tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        self.wire = MortalWire(redis_port)
        self._environment = environment
        self._stack = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Make the parts as a function does at its first request, and have their clocks be the loop's."""
        await self._stack.enter_async_context(self.wire.listening())
        url = f"redis://127.0.0.1:{self.wire.address}/0"
        before = signal.getsignal(signal.SIGTERM)
        settings = Settings.from_env(self._environment | {"REDIS_URL": url})
        self.parts = wiring.parts(settings, calls_without_redis_per_minute=2)
        signal.signal(signal.SIGTERM, before)
        self.work, self.submit = wiring.work(self.parts), wiring.submit(self.parts)
        self.charge = wiring.quotas(self.parts).charge(Principal(owner="someone"))
        clock = asyncio.get_running_loop().time
        for part in (self.parts.state, self.parts.improve, self.work, self.submit):
            part._clock = clock

    @property
    def idle(self) -> bool:
        """Whether it waits for nobody but Gemini and its own timers."""
        return self.parts.state._slots._value == COMMANDS_AT_ONCE

    def begin(self, doing: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Have this instance do something, which ends with it."""
        token = _owner.set(self)
        try:
            return asyncio.ensure_future(doing)
        finally:
            _owner.reset(token)

    async def kill(self) -> None:
        """End it as SIGKILL does: what it would still do or clean up reaches neither Redis nor Gemini."""
        self.wire.dead = True
        self.wire.hang_up()
        while left := [task for task in self.tasks if not task.done()]:
            for task in left:
                task.cancel()
            await asyncio.wait(left)
        opened = (self.parts.updates, self.parts.gemini, self.parts.publisher, self.parts.state)
        await asyncio.gather(*(each.close() for each in opened), return_exceptions=True)
        await self._stack.aclose()
