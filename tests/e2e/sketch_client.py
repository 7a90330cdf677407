"""A client of the endpoint as the front end is one, and of the stand-ins as an operator of the laptop is."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from tests.e2e.redis_server import RedisServer

SKETCH = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""One pixel: what is tested here is who asks and when, and the stand-in redraws this one in no time."""

IMPROVE = """mutation ImproveSketch($input: ImproveSketchInput!) { improveSketch(input: $input) {
  requestId errors problem { code message retryable retryAfterSeconds }
  result { imageBase64 title provenance { cache } } } }"""
STATUS = """query Status($id: String!) { improveSketchStatus(requestId: $id) {
  status attempt maxAttempts error problem { code retryable } createdAt updatedAt retryAt
  result { title provenance { cache } } } }"""

DRAWING = """query Drawing($id: String!) { improveSketchStatus(requestId: $id) { status result { imageBase64 } } }"""


class SketchClient:
    """Sends sketches to one or several addresses in turn."""

    def __init__(self, http: httpx2.AsyncClient, addresses: dict[str, str]) -> None:
        self._http = http
        self.addresses = addresses

    @property
    def endpoints(self) -> Sequence[str]:
        return [address for name, address in self.addresses.items() if name.startswith("graphql")]

    async def improve(self, *, to: int = 0, **input: Any) -> dict[str, Any]:
        """Send a sketch; return the payload."""
        variables = {"input": {"pngBase64": SKETCH, "svg": None, "hints": None, **input}}
        answer = await self._post(self.endpoints[to % len(self.endpoints)], IMPROVE, variables)
        payload: dict[str, Any] = answer["data"]["improveSketch"]
        return payload

    async def submit(self, *, to: int = 0, **input: Any) -> str:
        """Send a sketch into the background; return the request id."""
        payload = await self.improve(to=to, **input, **{"async": True})
        assert payload["errors"] == []
        return str(payload["requestId"])

    async def raw_status(self, request_id: str, *, to: int = 0) -> dict[str, Any]:
        return await self._post(self.endpoints[to % len(self.endpoints)], STATUS, {"id": request_id})

    async def status(self, request_id: str) -> dict[str, Any]:
        state: dict[str, Any] = (await self.raw_status(request_id))["data"]["improveSketchStatus"]
        return state

    async def drawing(self, request_id: str, *, to: int = 0) -> dict[str, Any]:
        """The raw answer about a job's state and picture."""
        return await self._post(self.endpoints[to % len(self.endpoints)], DRAWING, {"id": request_id})

    async def settled(self, request_id: str, *, within_s: float = 40) -> dict[str, Any]:
        """Poll until the job is done or has failed; return its last state."""
        end_s = time.monotonic() + within_s
        while (state := await self.status(request_id))["status"] not in ("done", "error"):
            assert time.monotonic() < end_s, state
            await asyncio.sleep(0.1)
        return state

    async def calls(self) -> int:
        """How many calls the Gemini stand-in has had."""
        return int((await self._http.get(f"{self.addresses['gemini']}/calls")).json()["count"])

    async def waiting(self, count: int, *, within_s: float = 40) -> None:
        """Wait until so many calls stand at the barrier of the fault `hold`."""
        end_s = time.monotonic() + within_s
        while (await self._http.get(f"{self.addresses['gemini']}/calls")).json()["waiting"] < count:
            assert time.monotonic() < end_s
            await asyncio.sleep(0.02)

    async def faults(self, *faults: Mapping[str, object]) -> None:
        (await self._http.post(f"{self.addresses['gemini']}/faults", json=list(faults))).raise_for_status()

    async def no_faults(self) -> None:
        (await self._http.delete(f"{self.addresses['gemini']}/faults")).raise_for_status()

    async def release(self) -> None:
        (await self._http.post(f"{self.addresses['gemini']}/release")).raise_for_status()

    async def fresh(self, redis: RedisServer) -> None:
        """Wait until every part answers and no message is outstanding, then forget all that was."""
        gemini, end_s = self.addresses["gemini"], time.monotonic() + 30
        await self.no_faults()
        await self.release()
        while not await self._idle():
            assert time.monotonic() < end_s
            await asyncio.sleep(0.05)
        redis.command("FLUSHALL")
        (await self._http.delete(f"{gemini}/calls")).raise_for_status()

    async def _idle(self) -> bool:
        parts = [address for name, address in self.addresses.items() if name.startswith(("graphql", "worker"))]
        try:
            ready = [(await self._http.get(f"{address}/ready")).status_code for address in parts]
            stats = (await self._http.get(f"{self.addresses['pubsub']}/stats")).json()
        except httpx2.TransportError:
            return False
        return set(ready) == {200} and stats["outstanding"] == 0

    async def _post(self, address: str, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        url = address if address.endswith("/graphql") else f"{address}/graphql"
        response = await self._http.post(url, json={"query": query, "variables": variables})
        answer: dict[str, Any] = response.raise_for_status().json()
        return answer


@asynccontextmanager
async def client_of(addresses: dict[str, str]) -> AsyncIterator[SketchClient]:
    # No connection is used twice: the server closes an idle one after 2 s, and after a thousand answers a client cannot
    # tell since when it is idle.
    limits = httpx2.Limits(max_connections=1200, max_keepalive_connections=0)
    async with httpx2.AsyncClient(timeout=60, limits=limits, trust_env=False) as http:
        yield SketchClient(http, addresses)
