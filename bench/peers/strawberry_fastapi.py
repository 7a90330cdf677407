"""Strawberry on FastAPI: types in Python, the router of its documentation."""

from __future__ import annotations

import enum
from typing import Any

import service
import strawberry
from fastapi import FastAPI
from strawberry.fastapi import GraphQLRouter


@strawberry.enum
class CacheOutcome(enum.Enum):
    HIT = "HIT"
    MISS = "MISS"
    COALESCED = "COALESCED"


@strawberry.enum
class ImproveSketchState(enum.Enum):
    queued = "queued"
    running = "running"
    done = "done"
    error = "error"
    not_found = "not_found"


@strawberry.type
class Provenance:
    cache: CacheOutcome
    model: str
    prompt_version: str
    created_at: str
    provider_ms: int


@strawberry.type
class ImproveSketchResult:
    key: strawberry.Private[str]
    mime_type: str
    title: str
    style: str
    palette: list[str]
    background: str
    notes: str
    provenance: Provenance

    @strawberry.field
    async def image_base64(self) -> str:
        return await service.image(self.key)


@strawberry.type
class Problem:
    code: str
    message: str


@strawberry.type
class ImproveSketchPayload:
    errors: list[str]
    result: ImproveSketchResult | None = None
    request_id: str | None = None
    problem: Problem | None = None


@strawberry.type
class ImproveSketchStatus:
    request_id: str
    status: ImproveSketchState
    attempt: int
    created_at: str | None = None
    updated_at: str | None = None
    result: ImproveSketchResult | None = None


@strawberry.input
class ImproveSketchInput:
    png_base64: str
    async_: bool = strawberry.field(name="async", default=False)
    variant: int = 0


@strawberry.type
class Query:
    @strawberry.field
    async def improve_sketch_status(self, request_id: str) -> ImproveSketchStatus:
        found = await service.status(request_id)
        return ImproveSketchStatus(
            request_id=request_id,
            status=ImproveSketchState(found["status"]),
            attempt=found["attempt"],
            created_at=found.get("createdAt"),
            updated_at=found.get("updatedAt"),
            result=_result(found["result"]) if found.get("result") else None,
        )


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def improve_sketch(self, input: ImproveSketchInput) -> ImproveSketchPayload:
        if input.async_:
            return ImproveSketchPayload(errors=[], request_id=await service.submit(input.png_base64, input.variant))
        return ImproveSketchPayload(errors=[], result=_result(await service.improve(input.png_base64, input.variant)))


def _result(drawing: dict[str, Any]) -> ImproveSketchResult:
    said = drawing["provenance"]
    provenance = Provenance(
        cache=CacheOutcome(said["cache"]),
        model=said["model"],
        prompt_version=said["promptVersion"],
        created_at=said["createdAt"],
        provider_ms=said["providerMs"],
    )
    words = {name: drawing[name] for name in ("key", "title", "style", "palette", "background", "notes")}
    return ImproveSketchResult(**words, mime_type="image/png", provenance=provenance)


app = FastAPI()
app.include_router(GraphQLRouter(strawberry.Schema(Query, Mutation)), prefix="/graphql")
