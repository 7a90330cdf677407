"""The two sides of Pub/Sub for its contract tests: a client of the broker, and a receiver of pushes."""

import asyncio
import base64
import contextlib
import json
import os
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from emulator import google_pubsub
from emulator.parts import CannotStart
from tests import servers
from tests.servers import free_port

WAIT_S = 10.0
QUICK = {"retryPolicy": {"minimumBackoff": "0.05s", "maximumBackoff": "0.4s"}}
DATA = base64.b64encode(b"a sketch").decode()


@dataclass
class Push:
    """One push as it arrived."""

    at_s: float
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def message_id(self) -> str:
        return str(self.body["message"]["messageId"])


@dataclass
class Receiver:
    """Takes pushes, and answers with the statuses asked for (None: never), then with 204."""

    url: str = ""
    statuses: deque[int | None] = field(default_factory=deque)
    pushes: list[Push] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[None]:
        """Listen on this port or any."""
        connections: set[asyncio.StreamWriter] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.add(writer)
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    await self._take(reader, writer)

        server = await asyncio.start_server(serve, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        try:
            yield
        finally:
            server.close()
            for writer in connections:
                writer.close()
            with contextlib.suppress(ConnectionError):
                await asyncio.gather(*(writer.wait_closed() for writer in connections))

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        self.pushes.append(Push(time.monotonic(), headers, body))
        status = self.statuses.popleft() if self.statuses else 204
        if status is not None:
            writer.write(f"HTTP/1.1 {status} -\r\nContent-Length: 0\r\n\r\n".encode())


@dataclass
class Broker:
    """The service under test, and names of one test's own."""

    client: httpx2.AsyncClient
    topic: str
    subscription: str
    dead_topic: str
    dead_subscription: str
    retries: Mapping[str, object] = field(default_factory=lambda: QUICK)

    async def put(self, name: str, body: object) -> httpx2.Response:
        return await self.client.put(f"/v1/{name}", json=body)

    async def push_to(self, *receivers: Receiver, **fields: object) -> None:
        """Create the topic and a push subscription with quick redelivery."""
        (await self.put(self.topic, {})).raise_for_status()
        body = {
            "topic": self.topic,
            "pushConfig": {"pushEndpoint": ",".join(receiver.url for receiver in receivers)},
            **self.retries,
            **fields,
        }
        (await self.put(self.subscription, body)).raise_for_status()

    async def bury(self) -> dict[str, object]:
        """Create a dead-letter topic that retains, and answer the policy that uses it."""
        (await self.put(self.dead_topic, {})).raise_for_status()
        (await self.put(self.dead_subscription, {"topic": self.dead_topic})).raise_for_status()
        return {"deadLetterPolicy": {"deadLetterTopic": self.dead_topic, "maxDeliveryAttempts": 5}}

    async def publish(self, data: str = DATA, **attributes: str) -> httpx2.Response:
        messages = [{"data": data, "attributes": attributes}]
        return await self.client.post(f"/v1/{self.topic}:publish", json={"messages": messages})

    async def pull(self, name: str, most: int = 10, *, wait: bool = True) -> list[dict[str, Any]]:
        body = {"maxMessages": most, "returnImmediately": not wait}
        answer = await self.client.post(f"/v1/{name}:pull", json=body)
        received: list[dict[str, Any]] = answer.raise_for_status().json().get("receivedMessages", [])
        return received

    async def pull_all(self, name: str, count: int, *, within_s: float = WAIT_S) -> list[dict[str, Any]]:
        """So many messages, however many pulls they take."""
        received: list[dict[str, Any]] = []
        async with asyncio.timeout(within_s):
            while len(received) < count:
                received += await self.pull(name, wait=False)
                await asyncio.sleep(0.01)
        return received

    async def retain(self, **fields: object) -> None:
        """Create the topic and a subscription to pull from."""
        (await self.put(self.topic, {})).raise_for_status()
        (await self.put(self.subscription, {"topic": self.topic, **fields})).raise_for_status()

    async def hand_back(self, *received: dict[str, Any]) -> None:
        """Have them delivered again at once."""
        body = {"ackIds": [each["ackId"] for each in received], "ackDeadlineSeconds": 0}
        answer = await self.client.post(f"/v1/{self.subscription}:modifyAckDeadline", json=body)
        assert (200, {}) == (answer.status_code, answer.json())

    async def acknowledge(self, *received: dict[str, Any]) -> None:
        body = {"ackIds": [each["ackId"] for each in received]}
        answer = await self.client.post(f"/v1/{self.subscription}:acknowledge", json=body)
        assert (200, {}) == (answer.status_code, answer.json())

    async def script(self, *faults: dict[str, object]) -> None:
        (await self.client.post("/faults", json=faults)).raise_for_status()

    async def until_counted(self, name: str, least: int) -> dict[str, int]:
        """The statistics, once this one has reached so much."""
        async with asyncio.timeout(WAIT_S):
            while (found := await self.stats())[name] < least:
                await asyncio.sleep(0.01)
        return found

    async def stats(self) -> dict[str, int]:
        found: dict[str, int] = (await self.client.get("/stats")).json()
        return found


async def until(condition: Callable[[], bool], *, within_s: float = WAIT_S) -> None:
    """Poll to a deadline."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


@contextlib.contextmanager
def running(*options: str) -> Iterator[str]:
    """The stand-in as a process; its address."""
    port = free_port()
    command = [sys.executable, "-m", "emulator.pubsub", "--port", str(port), *options]
    with servers.running(command, port, _answers) as server:
        yield server.url


@contextlib.contextmanager
def running_googles() -> Iterator[str]:
    """Google's emulator as a process; its address. Skips, and says why, where it is not installed."""
    port = free_port()
    try:
        command = google_pubsub.command(port, os.environ)
    except CannotStart as missing:
        pytest.skip(str(missing))
    with servers.running(command, port, _answers) as server:
        yield server.url


def _answers(server: servers.Server) -> bool:
    """Whether it speaks HTTP, whatever it says."""
    try:
        httpx2.get(server.url, trust_env=False)
    except httpx2.TransportError:
        return False
    return True
