"""A client of the GraphQL function, which asks for every field of the contract."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

import httpx2

from tests.servers import POLL_S, WAIT_S
from tests.sketches import png

_RESULT = """result { imageBase64 imageUrl mimeType title style palette background notes
  provenance { cache model promptVersion createdAt providerMs } }
  problem { code message retryable retryAfterSeconds }"""
IMPROVE = f"""mutation($input: ImproveSketchInput!) {{
  improveSketch(input: $input) {{ requestId errors clientMutationId {_RESULT} }} }}"""
ONLY_URL = """mutation($input: ImproveSketchInput!) {
  improveSketch(input: $input) { result { imageUrl title } errors } }"""
STATUS = f"""query($id: String!) {{ improveSketchStatus(requestId: $id) {{
  requestId status error attempt maxAttempts createdAt updatedAt retryAt expiresAt etaMs pollAfterMs {_RESULT} }} }}"""

Words = dict[str, Any]


class SketchService:
    """The endpoint as the front end sees it."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self._http, self.url = http, url

    async def improve(
        self, shade: int = 0, *, later: bool | None = None, headers: Mapping[str, str] | None = None, **input: Any
    ) -> Words:
        """Send a sketch; `shade` tells one from another, `later` is the field `async`."""
        given = {"pngBase64": base64.b64encode(png(shade)).decode(), **input}
        if later is not None:
            given["async"] = later
        answer = await self.post(IMPROVE, {"input": given}, headers)
        assert "errors" not in answer, answer
        payload: Words = answer["data"]["improveSketch"]
        return payload

    async def submit(self, shade: int = 0, *, headers: Mapping[str, str] | None = None, **input: Any) -> str:
        """Send a sketch into the background; return its request id."""
        payload = await self.improve(shade, later=True, headers=headers, **input)
        assert ([], None, None) == (payload["errors"], payload["problem"], payload["result"])
        return str(payload["requestId"])

    async def status(self, request_id: str) -> Words:
        answer = await self.post(STATUS, {"id": request_id})
        assert "errors" not in answer, answer
        status: Words = answer["data"]["improveSketchStatus"]
        return status

    async def settled(self, request_id: str) -> Words:
        """Poll until the job is done or has failed; return its last state."""
        async with asyncio.timeout(WAIT_S):
            while (state := await self.status(request_id))["status"] not in ("done", "error"):
                await asyncio.sleep(POLL_S)
            return state

    async def post(self, query: str, variables: Words, headers: Mapping[str, str] | None = None) -> Words:
        body = {"query": query, "variables": variables}
        answer = await self._http.post(f"{self.url}/graphql", json=body, headers=dict(headers or {}))
        assert 200 == answer.status_code, answer.text
        words: Words = answer.json()
        return words

    async def get(self, path: str) -> tuple[int, Words]:
        """Status and JSON of a plain GET."""
        answer = await self._http.get(f"{self.url}{path}")
        return answer.status_code, answer.json()


def shown(payload: Words) -> tuple[str, str]:
    """How an answer was come by, and its image."""
    return payload["result"]["provenance"]["cache"], payload["result"]["imageBase64"]
