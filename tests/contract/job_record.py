"""A job as Redis holds it: brought so far, read, rewritten to jump in time, and listened to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio
from rubydraw import keys
from rubydraw.jobs.message import JobMessage
from rubydraw.jobs.transitions import Claim, Jobs

from tests.sketches import HOUR_MS, TRACEPARENT, now_ms

LEASE_MS = 5000
SUBMITTED = {"digest": "d1", "owner": "someone", "trace": TRACEPARENT}


class JobRecord:
    """One job's hash, life time and channel."""

    def __init__(self, raw: redis.asyncio.Redis, request_id: str) -> None:
        self._raw, self._request_id = raw, request_id
        self.key = keys.status(request_id)

    async def fields(self) -> dict[str, str]:
        found: dict[Any, Any] = await self._raw.hgetall(self.key)
        return {name.decode(): value.decode() for name, value in found.items()}

    async def named(self, *names: str) -> tuple[str | None, ...]:
        """Some of the fields, in this order."""
        fields = await self.fields()
        return tuple(fields.get(name) for name in names)

    async def rewrite(self, **fields: Any) -> None:
        """Set fields as if time had passed, or somebody else had been here."""
        await self._raw.hset(self.key, mapping=dict[Any, Any](fields))

    async def lapse(self) -> None:
        """Let the lease run out."""
        await self.rewrite(lease_until_ms=1)

    async def age(self, hours: int) -> None:
        """Have it accepted so long ago."""
        await self.rewrite(created_at=now_ms() - hours * HOUR_MS)

    async def life_hours(self) -> float:
        """The hours until it is forgotten, to the nearest tenth."""
        return round(await self._raw.pttl(self.key) / HOUR_MS, 1)

    @asynccontextmanager
    async def announced(self) -> AsyncIterator[list[str]]:
        """Collect what is announced on the job's channel until the end of the block."""
        heard: list[str] = []
        async with self._raw.pubsub() as channel:
            await channel.subscribe(keys.channel(self._request_id))
            assert (await channel.get_message(timeout=5))["type"] == "subscribe"
            yield heard
            await self._raw.publish(keys.channel(self._request_id), "end of block")
            async with asyncio.timeout(5):
                while (heard_last := await _data(channel)) != "end of block":
                    heard.append(heard_last)


async def _data(channel: Any) -> str:
    while not (message := await channel.get_message(timeout=5)):
        pass
    return str(message["data"].decode())


async def queued(jobs: Jobs, message: JobMessage) -> None:
    """Submit the job."""
    status, created_at_ms = await jobs.submit(message.request_id, "queued", **SUBMITTED)
    assert (status, True) == ("queued", abs(now_ms() - created_at_ms) < 5000)


async def running(jobs: Jobs, message: JobMessage, token: str = "t1") -> None:
    """Submit the job, and claim it."""
    await queued(jobs, message)
    assert Claim("run", attempt=1) == await jobs.claim(message, token)


async def used_up(jobs: Jobs, message: JobMessage, record: JobRecord, attempts: int = 3) -> None:
    """Begin so many attempts, of which none settles the job."""
    await queued(jobs, message)
    for attempt in range(1, attempts + 1):
        assert Claim("run", attempt=attempt) == await jobs.claim(message, f"t{attempt}")
        await record.lapse()


async def until_prolonged(record: JobRecord) -> None:
    """Poll until the lease has half of its length left again."""
    while int((await record.named("lease_until_ms"))[0] or 0) < now_ms() + LEASE_MS / 2:
        await asyncio.sleep(0.01)
