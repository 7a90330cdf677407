"""Resolvers: GraphQL's words become a call of `submit` or `watch`, and its answer GraphQL's words again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pybase64
from graphql import GraphQLError, GraphQLResolveInfo, GraphQLSchema, build_schema
from rubydraw import logs
from rubydraw.clock import iso
from rubydraw.drawing import Drawing
from rubydraw.errors import BadSketch, Code, SketchError, StoreUnavailable
from rubydraw.settings import Settings
from rubydraw.sketch import Sketch
from rubydraw.submit import Submit
from rubydraw.watch import Seen, Watch
from selections import selects
from starlette.requests import Request

MAX_CLIENT_MUTATION_ID_CHARS = 256

Words = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Context:
    """What the headers of a request ask for."""

    idempotency_key: str | None
    respond_async: bool


def context(request: Request) -> Context:
    """Read the headers that say what the input may say too, and bind the request to its trace."""
    logs.trace_request(request.headers.get("traceparent", ""))
    prefers = [part.strip().lower() for part in ",".join(request.headers.getlist("prefer")).split(",")]
    return Context(request.headers.get("idempotency-key"), "respond-async" in prefers)


def on_fault(error: Exception) -> str:
    """Log a fault of ours by its kind alone: its text may hold what a client sent."""
    logs.error("request.fault", kind=type(error).__name__, at=_place(error))
    return logs.trace_id()


def bound_schema(submit: Submit, watch: Watch, settings: Settings) -> GraphQLSchema:
    """Return the contract of `schema.graphql` with its three resolvers."""
    schema = build_schema((Path(__file__).parent / "schema.graphql").read_text("utf-8"))

    async def improve_sketch(_: Any, info: GraphQLResolveInfo[Any], input: Words) -> Words:
        client_mutation_id = input.get("clientMutationId")
        try:
            answer = await _improve(submit, info, input, settings)
        except SketchError as error:
            answer = {"errors": [error.message], "problem": _problem(error.code, error.message, error.retry_after_s)}
        return {"errors": [], "clientMutationId": client_mutation_id, **answer}

    async def improve_sketch_status(_: Any, info: GraphQLResolveInfo[Any], requestId: str) -> Words:  # noqa: N803
        with_image = selects(info, "result", "imageBase64")
        with_drawing = with_image or selects(info, "result") or selects(info, "status")
        try:
            seen = await watch.once(requestId, with_drawing=with_drawing, with_image=with_image)
        except StoreUnavailable as error:
            extensions = {"code": error.code, "trace": logs.trace_id()}
            raise GraphQLError(error.message, extensions=extensions) from None
        return _status(requestId, seen, settings.max_attempts)

    for kind, name, resolve in (
        (schema.mutation_type, "improveSketch", improve_sketch),
        (schema.query_type, "improveSketchStatus", improve_sketch_status),
    ):
        assert kind is not None  # noqa: S101 - the contract has both
        kind.fields[name].resolve = resolve
    return schema


async def _improve(submit: Submit, info: GraphQLResolveInfo[Any], input: Words, settings: Settings) -> Words:
    if len(input.get("clientMutationId") or "") > MAX_CLIENT_MUTATION_ID_CHARS:
        raise BadSketch(f"clientMutationId has more than {MAX_CLIENT_MUTATION_ID_CHARS} characters.")
    asked: Context = info.context
    sketch = Sketch.from_base64(
        input.pop("pngBase64"),
        input.pop("svg", None),
        input.pop("hints", None),
        input.get("variant"),
        max_png_bytes=settings.max_png_bytes,
    )
    key = input.get("idempotencyKey") if input.get("idempotencyKey") is not None else asked.idempotency_key
    if input.get("async") or asked.respond_async:
        return {"requestId": await submit.later(sketch, idempotency_key=key)}
    improved = await submit.now(sketch, with_image=selects(info, "result", "imageBase64"))
    return {"result": _result(improved.drawing, improved.outcome)}


def _result(drawing: Drawing, outcome: str) -> Words:
    return {
        "imageBase64": pybase64.b64encode_as_string(drawing.image),
        "mimeType": "image/png",
        "title": drawing.title,
        "style": drawing.style,
        "palette": drawing.palette,
        "background": drawing.background,
        "notes": drawing.notes,
        "provenance": {
            "cache": outcome,
            "model": drawing.model,
            "promptVersion": drawing.prompt_version,
            "createdAt": iso(drawing.created_at_ms),
            "providerMs": drawing.provider_ms,
        },
    }


def _problem(code: Code, message: str, retry_after_s: float | None = None) -> Words:
    return {
        "code": code,
        "message": message,
        "retryable": code.retryable,
        "retryAfterSeconds": None if retry_after_s is None else round(retry_after_s, 3),
    }


def _status(request_id: str, seen: Seen, max_attempts: int) -> Words:
    words: Words = {"requestId": request_id, "status": seen.status, "attempt": 0, "maxAttempts": max_attempts}
    if job := seen.job:
        words |= {
            "attempt": job.attempt,
            "createdAt": iso(job.created_at_ms),
            "updatedAt": iso(job.updated_at_ms),
            "retryAt": iso(job.retry_at_ms),
            "expiresAt": iso(job.expires_at_ms),
        }
        if seen.drawing:
            words["result"] = _result(seen.drawing, job.outcome)
        if seen.code:
            message = job.message if job.code == seen.code and job.message else seen.code.sentence
            words |= {"error": message, "problem": _problem(seen.code, message)}
    return words


def _place(error: Exception) -> str:
    """Return where an exception was raised: file and line, which hold nothing of a request."""
    traceback = error.__traceback__
    while traceback and traceback.tb_next:
        traceback = traceback.tb_next
    return f"{Path(traceback.tb_frame.f_code.co_filename).name}:{traceback.tb_lineno}" if traceback else ""
