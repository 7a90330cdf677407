"""graphql-core in a plain functions-framework function: Flask, threads, a synchronous Redis client."""

from __future__ import annotations

import base64
import os
import time
import uuid
from pathlib import Path
from typing import Any

import flask
import functions_framework
import httpx2
import redis
import service
from graphql import build_schema, graphql_sync

store = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
http = httpx2.Client(trust_env=False, timeout=120)
schema = build_schema(Path(os.environ["SCHEMA"]).read_text())


def improve_sketch(_: Any, __: Any, input: dict[str, Any]) -> dict[str, Any]:
    key, png = service.key_of(input["pngBase64"], input["variant"])
    if input["async"]:
        return {"errors": [], "requestId": submit(key, png)}
    found = drawing(key, "HIT")
    if found is None:
        store.hset(key, mapping=ask_gemini(png))
        store.expire(key, 7 * 24 * 3600)
        found = drawing(key, "MISS")
    return {"errors": [], "result": found}


def submit(key: str, png: bytes) -> str:
    request_id = str(uuid.uuid4())
    status = "done" if store.exists(key) else "queued"
    job = {"status": status, "key": key, "attempt": 0, "createdAt": service.now(), "updatedAt": service.now()}
    store.hset(f"peer:status:{request_id}", mapping=job)
    store.expire(f"peer:status:{request_id}", 3600)
    if status == "queued":
        message = {"data": base64.b64encode(png).decode(), "attributes": {"request_id": request_id}}
        address = f"{os.environ['PUBSUB_URL']}/v1/{service.TOPIC}:publish"
        http.post(address, json={"messages": [message]}).raise_for_status()
    return request_id


def status(_: Any, __: Any, requestId: str) -> dict[str, Any]:  # noqa: N803
    job = store.hgetall(f"peer:status:{requestId}")
    if not job:
        return {"requestId": requestId, "status": "not_found", "attempt": 0}
    result = drawing(job["key"], "HIT") if job["status"] == "done" else None
    return {**job, "requestId": requestId, "attempt": int(job["attempt"]), "result": result}


def drawing(key: str, cache: str) -> dict[str, Any] | None:
    values = dict(zip(service.FIELDS, store.hmget(key, service.FIELDS), strict=True))
    if values["title"] is None:
        return None
    provenance = {"cache": cache, "model": service.MODEL, "promptVersion": "1", "createdAt": values.pop("createdAt")}
    provenance["providerMs"] = int(values.pop("providerMs"))
    palette = values.pop("palette").split(",")
    return {**values, "key": key, "mimeType": "image/png", "palette": palette, "provenance": provenance}


def ask_gemini(png: bytes) -> dict[str, Any]:
    began = time.monotonic()
    part = {"inlineData": {"data": base64.b64encode(png).decode(), "mimeType": "image/png"}}
    address = f"{os.environ['GEMINI_BASE_URL']}/v1/models/{service.MODEL}:generateContent"
    answer = http.post(address, json={"contents": [{"role": "user", "parts": [part]}]})
    text, picture = answer.raise_for_status().json()["candidates"][0]["content"]["parts"]
    return service.kept(text["text"], picture["inlineData"]["data"], began)


for parent, name, resolve in (
    ("Query", "improveSketchStatus", status),
    ("Mutation", "improveSketch", improve_sketch),
    ("ImproveSketchResult", "imageBase64", lambda found, _: store.hget(found["key"], "image")),
):
    schema.get_type(parent).fields[name].resolve = resolve  # type: ignore[union-attr]


@functions_framework.http
def graphql(request: flask.Request) -> flask.Response:
    asked = request.get_json()
    answer = graphql_sync(
        schema, asked["query"], variable_values=asked.get("variables"), operation_name=asked.get("operationName")
    )
    return flask.jsonify(answer.formatted)
