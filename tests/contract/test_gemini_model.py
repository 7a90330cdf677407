"""The Gemini stand-in describes a model to the real google-genai client, and counts no call for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials

from tests.stand_ins import GeminiStandIn

MODEL = "gemini-3.1-flash-image"
VERTEX = {"vertexai": True, "project": "p", "location": "global", "credentials": Credentials(token="t")}


@asynccontextmanager
async def sdk(stand_in: GeminiStandIn, **identity: Any) -> AsyncIterator[genai.client.AsyncClient]:
    client = genai.Client(http_options=types.HttpOptions(base_url=stand_in.url), **identity)
    try:
        yield client.aio
    finally:
        await client.aio.aclose()
        client.close()


@pytest.mark.parametrize(
    ("identity", "name"),
    [
        ({"vertexai": False, "api_key": "any"}, f"models/{MODEL}"),
        ({"vertexai": True, "api_key": "any"}, f"publishers/google/models/{MODEL}"),
        (VERTEX, f"publishers/google/models/{MODEL}"),
    ],
)
async def test_model_is_described(
    gemini_stand_in: GeminiStandIn, http: httpx2.AsyncClient, identity: dict[str, Any], name: str
) -> None:
    """In each of the three modes, by its own name, and for nothing."""
    async with sdk(gemini_stand_in, **identity) as client:
        model = await client.models.get(model=MODEL)
    assert name == model.name
    assert 0 == (await http.get(f"{gemini_stand_in.url}/calls")).json()["count"]


async def test_description_can_fail(gemini_stand_in: GeminiStandIn, http: httpx2.AsyncClient) -> None:
    """A scripted status is played here too; without a key nothing is told, and other paths are not found."""
    await gemini_stand_in.fail("status", status=404)
    async with sdk(gemini_stand_in, vertexai=False, api_key="any") as client:
        with pytest.raises(errors.ClientError) as caught:
            await client.models.get(model=MODEL)
    assert [404, "NOT_FOUND"] == [caught.value.code, caught.value.status]
    assert 403 == (await http.get(f"{gemini_stand_in.url}/v1/models/{MODEL}")).status_code
    assert 404 == (await http.get(f"{gemini_stand_in.url}/v1/nothing")).status_code
