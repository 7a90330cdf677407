"""Clients of the two stand-ins, which script their faults and look at what reached them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

import httpx2

from tests.servers import POLL_S, WAIT_S

PROJECT = "projects/test-project"
TOPIC = f"{PROJECT}/topics/jobs"
DEAD_LETTER_TOPIC = f"{PROJECT}/topics/dead-letters"


class GeminiStandIn:
    """A client of the Gemini stand-in."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self._http, self.url = http, url

    async def fail(self, kind: str, **fault: Any) -> None:
        """Add a fault of the next call, or of the next `times` calls."""
        (await self._http.post(f"{self.url}/faults", json=[{"kind": kind, **fault}])).raise_for_status()

    async def calls(self) -> int:
        """How many calls arrived."""
        return int((await self._counts())["count"])

    async def until_called(self, count: int) -> None:
        """Poll until so many calls have arrived."""
        async with asyncio.timeout(WAIT_S):
            while await self.calls() != count:
                await asyncio.sleep(POLL_S)

    async def until_waiting(self, count: int) -> None:
        """Poll until so many calls are held back."""
        async with asyncio.timeout(WAIT_S):
            while (await self._counts())["waiting"] != count:
                await asyncio.sleep(POLL_S)

    async def release(self) -> None:
        """Let go of the calls that are held back."""
        (await self._http.post(f"{self.url}/release")).raise_for_status()

    async def clear(self) -> None:
        """Forget faults and calls, and hold nobody back."""
        await asyncio.gather(self._http.delete(f"{self.url}/faults"), self.release())
        await self._http.delete(f"{self.url}/calls")

    async def _counts(self) -> dict[str, int]:
        counts: dict[str, int] = (await self._http.get(f"{self.url}/calls")).json()
        return counts


class PubsubStandIn:
    """A client of the Pub/Sub stand-in: publisher, subscriber, and operator."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self._http, self.url = http, url

    async def clear(self) -> None:
        """Make topics and pull subscriptions anew."""
        pull, push, dead = _subscription(TOPIC), f"{_subscription(TOPIC)}-push", _subscription(DEAD_LETTER_TOPIC)
        old = ["faults", f"v1/{pull}", f"v1/{push}", f"v1/{dead}"]
        await asyncio.gather(*(self._http.delete(f"{self.url}/{path}") for path in old))
        topics = (TOPIC, DEAD_LETTER_TOPIC)
        await asyncio.gather(*(self._http.put(f"{self.url}/v1/{topic}", json={}) for topic in topics))
        await asyncio.gather(self._put(pull, {"topic": TOPIC}), self._put(dead, {"topic": DEAD_LETTER_TOPIC}))

    async def fail(self, kind: str, **fault: Any) -> None:
        """Add a fault of the next publish or push, or of the next `times`."""
        (await self._http.post(f"{self.url}/faults", json=[{"kind": kind, **fault}])).raise_for_status()

    async def no_faults(self) -> None:
        """Forget the faults that nothing has met yet."""
        (await self._http.delete(f"{self.url}/faults")).raise_for_status()

    async def push_to(self, address: str, **more: object) -> None:
        """Have jobs pushed to a worker, with quick retries; `more` are further fields of the subscription."""
        retry = {"minimumBackoff": "0.1s", "maximumBackoff": "0.5s"}
        body = {"topic": TOPIC, "pushConfig": {"pushEndpoint": address}, "retryPolicy": retry, **more}
        await self._put(f"{_subscription(TOPIC)}-push", body)

    async def until_pushed(self) -> None:
        """Poll until no message is left to be pushed."""
        async with asyncio.timeout(WAIT_S):
            while (await self._http.get(f"{self.url}/stats")).json()["outstanding"]:
                await asyncio.sleep(POLL_S)

    async def pulled(self, topic: str = TOPIC) -> list[tuple[bytes, dict[str, str]]]:
        """Data and attributes of all messages of a topic since the test began; each is pulled once."""
        messages: list[tuple[bytes, dict[str, str]]] = []
        body = {"maxMessages": 100, "returnImmediately": True}
        answer = await self._http.post(f"{self.url}/v1/{_subscription(topic)}:pull", json=body)
        for received in answer.raise_for_status().json().get("receivedMessages", []):
            message = received["message"]
            messages.append((base64.b64decode(message.get("data", "")), message.get("attributes", {})))
        return messages

    async def dead_letters(self) -> list[tuple[bytes, dict[str, str]]]:
        """Data and attributes of the copies on the dead-letter topic."""
        return await self.pulled(DEAD_LETTER_TOPIC)

    async def _put(self, name: str, body: Mapping[str, object]) -> None:
        (await self._http.put(f"{self.url}/v1/{name}", json=body)).raise_for_status()


def _subscription(topic: str) -> str:
    return topic.replace("/topics/", "/subscriptions/")
