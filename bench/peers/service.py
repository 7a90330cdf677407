"""What every asynchronous Python peer does for a request; they differ in the framework alone.

Written as somebody would who knows the framework and the problem: one digest, one hash a drawing with the picture in
base64 as the answer needs it, hiredis, one HTTP client with its connections kept, the picture read only where asked.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
import uuid
from typing import Any

import httpx2
import redis.asyncio

MODEL = "gemini-3.1-flash-image"
TOPIC = "projects/bench/topics/jobs"
FIELDS = ("title", "style", "palette", "background", "notes", "createdAt", "providerMs")

store = redis.asyncio.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
http = httpx2.AsyncClient(trust_env=False, timeout=120)


def key_of(png_base64: str, variant: int) -> tuple[str, bytes]:
    png = base64.b64decode(png_base64, validate=True)
    if not png.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError("pngBase64 is not a PNG")
    return f"peer:result:{variant}:{hashlib.sha256(png).hexdigest()}", png


async def improve(png_base64: str, variant: int) -> dict[str, Any]:
    """Return the drawing of a sketch, kept or new."""
    key, png = key_of(png_base64, variant)
    if found := await drawing(key, "HIT"):
        return found
    await store.hset(key, mapping=await ask_gemini(png))
    await store.expire(key, 7 * 24 * 3600)
    return await drawing(key, "MISS") or {}


async def submit(png_base64: str, variant: int) -> str:
    """Record a job and publish it; return its request id."""
    key, png = key_of(png_base64, variant)
    request_id = str(uuid.uuid4())
    status = "done" if await store.exists(key) else "queued"
    job = {"status": status, "key": key, "attempt": 0, "createdAt": now(), "updatedAt": now()}
    await store.hset(f"peer:status:{request_id}", mapping=job)
    await store.expire(f"peer:status:{request_id}", 3600)
    if status == "queued":
        message = {"data": base64.b64encode(png).decode(), "attributes": {"request_id": request_id}}
        address = f"{os.environ['PUBSUB_URL']}/v1/{TOPIC}:publish"
        (await http.post(address, json={"messages": [message]})).raise_for_status()
    return request_id


async def status(request_id: str) -> dict[str, Any]:
    job = await store.hgetall(f"peer:status:{request_id}")
    if not job:
        return {"requestId": request_id, "status": "not_found", "attempt": 0}
    result = await drawing(job["key"], "HIT") if job["status"] == "done" else None
    return {**job, "requestId": request_id, "attempt": int(job["attempt"]), "result": result}


async def drawing(key: str, cache: str) -> dict[str, Any] | None:
    """Return a drawing without its picture, which `image` reads where it is asked for."""
    values = dict(zip(FIELDS, await store.hmget(key, FIELDS), strict=True))
    if values["title"] is None:
        return None
    provenance = {"cache": cache, "model": MODEL, "promptVersion": "1", "createdAt": values.pop("createdAt")}
    provenance["providerMs"] = int(values.pop("providerMs"))
    palette = values.pop("palette").split(",")
    return {**values, "key": key, "mimeType": "image/png", "palette": palette, "provenance": provenance}


async def image(key: str) -> str:
    return str(await store.hget(key, "image"))


async def ask_gemini(png: bytes) -> dict[str, Any]:
    """Ask over REST, as the SDK does, and take the answer apart."""
    began = time.monotonic()
    part = {"inlineData": {"data": base64.b64encode(png).decode(), "mimeType": "image/png"}}
    address = f"{os.environ['GEMINI_BASE_URL']}/v1/models/{MODEL}:generateContent"
    answer = await http.post(address, json={"contents": [{"role": "user", "parts": [part]}]})
    text, picture = answer.raise_for_status().json()["candidates"][0]["content"]["parts"]
    return kept(text["text"], picture["inlineData"]["data"], began)


def kept(text: str, image_base64: str, began: float) -> dict[str, Any]:
    """Return a drawing as it is kept."""
    said = json.loads(text)
    said["palette"] = ",".join(said["palette"])
    return {**said, "image": image_base64, "createdAt": now(), "providerMs": round((time.monotonic() - began) * 1000)}


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
