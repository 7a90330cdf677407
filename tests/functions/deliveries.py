"""Pub/Sub's side of the worker: deliveries in both forms, and the jobs they are about."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx2
import redis.asyncio
from rubydraw import keys
from rubydraw.jobs.message import JobMessage

from tests.servers import POLL_S, WAIT_S
from tests.sketches import now_ms
from tests.stand_ins import PubsubStandIn

ACKNOWLEDGED, AGAIN = 204, 503
CLOUD_EVENT = {
    "ce-id": "7",
    "ce-source": "//pubsub.googleapis.com/projects/test-project/topics/jobs",
    "ce-specversion": "1.0",
    "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
    "ce-time": "2026-11-23T10:00:00.000Z",
}


def envelope(
    data: bytes, attributes: dict[str, str] | None, *, attempt: int = 1, message_id: str = "7"
) -> dict[str, Any]:
    """A message as Pub/Sub pushes it."""
    ids = {"messageId": message_id, "message_id": message_id}
    message = {"data": base64.b64encode(data).decode(), "attributes": attributes, **ids}
    return {"subscription": "projects/test-project/subscriptions/jobs", "deliveryAttempt": attempt, "message": message}


class Deliveries:
    """Pushes to one worker."""

    def __init__(self, http: httpx2.AsyncClient, url: str, raw: redis.asyncio.Redis) -> None:
        self._http, self.url, self._raw = http, url, raw

    async def push(self, job: JobMessage, *, attempt: int = 1, message_id: str = "7") -> int:
        """Deliver a job; return the status of the answer."""
        return await self.post(envelope(job.data(), job.attributes(), attempt=attempt, message_id=message_id))

    async def post(self, body: object, headers: dict[str, str] | None = None) -> int:
        """Deliver any body: bytes as they are, everything else as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await self._http.post(
            f"{self.url}/", content=content, headers={"content-type": "application/json", **(headers or {})}
        )
        assert b"" == answer.content
        return answer.status_code

    async def state(self, job: JobMessage, *names: str) -> tuple[str | None, ...]:
        """Fields of the job's record."""
        found = await self._raw.hmget(keys.status(job.request_id), list(names))
        return tuple(value.decode() if isinstance(value, bytes) else value for value in found)

    async def until(self, job: JobMessage, **fields: str) -> None:
        """Poll until the record has these values."""
        async with asyncio.timeout(WAIT_S):
            while tuple(fields.values()) != await self.state(job, *fields):
                await asyncio.sleep(POLL_S)

    async def rewrite(self, job: JobMessage, **fields: Any) -> None:
        """Set fields of the record as if time had passed, or somebody else had been here."""
        await self._raw.hset(keys.status(job.request_id), mapping=dict[Any, Any](fields))

    async def accepted(self, job: JobMessage, **fields: Any) -> None:
        """Record the job as its submit would have, with these fields changed."""
        record = {"status": "queued", "attempt": 0, "generation": 0, "created_at": now_ms(), "updated_at": now_ms()}
        await self.rewrite(job, **record | fields)

    async def forget_failures(self) -> None:
        """Let five seconds pass: a failed call is nobody's answer any more."""
        for key in await self._raw.keys(keys.flight("*")):
            await self._raw.delete(key)


async def copies(pubsub_stand_in: PubsubStandIn) -> list[tuple[str, str]]:
    """Code and request id of each dead letter."""
    letters = await pubsub_stand_in.dead_letters()
    return [(attributes["code"], attributes.get("request_id", "")) for _, attributes in letters]
