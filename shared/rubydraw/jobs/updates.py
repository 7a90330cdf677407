"""The announcements of jobs, received over one Redis connection for any number of viewers in this process."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any

from rubydraw import keys, logs
from rubydraw.errors import RateLimited, Stopping
from rubydraw.limits.admission import RETRY_AFTER_S, Refusals

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

MAX_VIEWERS = 1000
"""The most requests that the platform gives to one instance."""
MAX_VIEWERS_OF_ONE = 50
"""The most viewers of one caller: a viewer stays for minutes, and Terraform gives an instance 250 requests at once."""
LOOK_S = (4.0, 5.0)
"""How often viewers read the state without an announcement: pub/sub loses what it cannot deliver at once."""
CONFIRM_S = 1.0
CONNECT_S = 2.0
QUIET_S = 3.0
"""After this long without a message the connection is tested with a PING, and given up after as long again."""
RECONNECT_S = (0.5, 1.5)


class Viewer:
    """A client that follows a job. It holds one flag only, that there may be news: a slow viewer misses states, but not
    the last one, since the state is read after the news."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self._stopping = False

    async def news(self) -> None:
        """Wait until the job may have changed; raise Stopping once this instance is going away."""
        if not self._stopping:
            await self._news.wait()
        if self._stopping:
            raise Stopping
        self._news.clear()

    def tell(self) -> None:
        self._news.set()

    def stop(self) -> None:
        self._stopping = True
        self._news.set()

    def up_to_date(self) -> None:
        """Forget the news so far; to be called before the state is read."""
        self._news.clear()


class Updates:
    """
    The channels that this process subscribes to.

    Viewers that join or leave only change the set of wanted channels. One task alone subscribes and unsubscribes, by
    comparing that set with what it has sent, so that no late UNSUBSCRIBE cuts off a new viewer. Each confirmation is
    news too: after a reconnect all viewers read the state again. The connection is open while there are viewers.
    """

    def __init__(
        self, connection: Callable[[], Awaitable[AbstractConnection]], *, max_viewers: int = MAX_VIEWERS
    ) -> None:
        self._new_connection, self._max_viewers = connection, max_viewers
        self._refusals, self._loss_is_due = Refusals("viewers"), logs.OnceAMinute()
        self._wanted: dict[bytes, set[Viewer]] = {}
        self._looks: dict[bytes, asyncio.TimerHandle] = {}
        self._confirmed: set[bytes] = set()
        self._changed = asyncio.Event()
        self._hearing: asyncio.Task[None] | None = None
        self._stopping = False
        self.viewers = 0
        self._viewers_of: Counter[str] = Counter()

    @asynccontextmanager
    async def of(self, request_id: str, account: str = "") -> AsyncIterator[Viewer]:
        """
        Follow a job; entered once Redis has confirmed the subscription, or after 1 s: then periodic reads have to do.

        Raises Unavailable when there are too many viewers already, RateLimited when too many are of this account (an
        empty one has no limit), Stopping when this instance is going away.
        """
        if self._stopping:
            raise Stopping
        if self.viewers >= self._max_viewers:
            raise self._refusals.make()
        if account and self._viewers_of[account] >= MAX_VIEWERS_OF_ONE:
            raise RateLimited(
                f"At most {MAX_VIEWERS_OF_ONE} requests of one caller may wait for jobs at once; try again, or poll.",
                retry_after_s=RETRY_AFTER_S,
            )
        channel, viewer = keys.channel(request_id).encode(), Viewer()
        self._join(channel, viewer, account)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(CONFIRM_S):
                    while channel not in self._confirmed:
                        await viewer.news()
            viewer.up_to_date()
            yield viewer
        finally:
            self._leave(channel, viewer, account)

    def stop(self) -> None:
        """Tell every viewer that this instance is going away, and let no new one in."""
        self._stopping = True
        for viewers in self._wanted.values():
            for viewer in viewers:
                viewer.stop()

    async def close(self) -> None:
        """Close the connection, even if there are viewers."""
        if self._hearing:
            self._hearing.cancel()
            await asyncio.wait((self._hearing,))

    def _join(self, channel: bytes, viewer: Viewer, account: str) -> None:
        self.viewers += 1
        self._viewers_of[account] += 1
        if channel not in self._wanted:
            self._wanted[channel] = set()
            self._look_later(channel)
            self._changed.set()
        self._wanted[channel].add(viewer)
        if self._hearing is None or self._hearing.done():
            self._hearing = asyncio.create_task(self._hear(), context=Context())  # without the viewer's trace

    def _leave(self, channel: bytes, viewer: Viewer, account: str) -> None:
        """Remove a viewer; not a coroutine, so that it completes even if the viewer is cancelled twice."""
        self.viewers -= 1
        self._viewers_of[account] -= 1
        if not self._viewers_of[account]:
            del self._viewers_of[account]
        self._wanted[channel].discard(viewer)
        if not self._wanted[channel]:
            del self._wanted[channel]
            self._looks.pop(channel).cancel()
            self._changed.set()

    def _look_later(self, channel: bytes) -> None:
        def look() -> None:
            self._look_later(channel)
            self._tell(channel)

        self._looks[channel] = asyncio.get_running_loop().call_later(random.uniform(*LOOK_S), look)

    def _tell(self, channel: bytes) -> None:
        for viewer in self._wanted.get(channel, ()):
            viewer.tell()

    async def _hear(self) -> None:
        """Keep a connection for as long as there are viewers."""
        while self._wanted:
            try:
                await self._connected()
            except* Exception as lost:  # TypeError if unreadable; no other task connects again
                if self._loss_is_due():
                    logs.warning("updates.lost", kind=type(lost.exceptions[0]).__name__, viewers=self.viewers)
                await asyncio.sleep(random.uniform(*RECONNECT_S))

    async def _connected(self) -> None:
        connection = await self._new_connection()
        try:
            async with asyncio.timeout(CONNECT_S):
                await connection.connect()  # type: ignore[no-untyped-call]
            async with asyncio.TaskGroup() as both:
                reading = both.create_task(self._read(connection))
                await self._write(connection)
                reading.cancel()
        finally:
            self._confirmed.clear()
            await connection.disconnect(nowait=True)

    async def _write(self, connection: AbstractConnection) -> None:
        """Keep the subscriptions equal to the wanted channels; return when no channel is wanted any more."""
        sent: set[bytes] = set()
        while self._wanted:
            self._changed.clear()
            wanted = set(self._wanted)
            new, gone = wanted - sent, sent - wanted
            sent = wanted
            self._confirmed -= gone
            if new:
                await connection.send_command("SUBSCRIBE", *new)
            if gone:
                await connection.send_command("UNSUBSCRIBE", *gone)
            await self._changed.wait()

    async def _read(self, connection: AbstractConnection) -> None:
        """Pass on what Redis sends until the connection is lost."""
        asked = False
        while True:
            heard: Any = await connection.read_response(timeout=QUIET_S, push_request=True)
            if heard is None:
                if asked:
                    raise ConnectionError("no answer to PING")
                await connection.send_command("PING")
            asked = heard is None
            match heard:
                case [b"subscribe", channel, _]:
                    if channel in self._wanted:  # whoever wanted it may have left
                        self._confirmed.add(channel)
                    self._tell(channel)
                case [b"message", channel, _]:
                    self._tell(channel)
