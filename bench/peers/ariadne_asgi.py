"""Ariadne: this service's own schema file, resolvers bound to it, its ASGI application."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import service
from ariadne import MutationType, ObjectType, QueryType, make_executable_schema
from ariadne.asgi import GraphQL

query, mutation, result = QueryType(), MutationType(), ObjectType("ImproveSketchResult")


@query.field("improveSketchStatus")
async def status(_: Any, __: Any, requestId: str) -> dict[str, Any]:  # noqa: N803
    return await service.status(requestId)


@mutation.field("improveSketch")
async def improve_sketch(_: Any, __: Any, input: dict[str, Any]) -> dict[str, Any]:
    if input["async"]:
        return {"errors": [], "requestId": await service.submit(input["pngBase64"], input["variant"])}
    return {"errors": [], "result": await service.improve(input["pngBase64"], input["variant"])}


@result.field("imageBase64")
async def image_base64(drawing: dict[str, Any], _: Any) -> str:
    return await service.image(drawing["key"])


app = GraphQL(make_executable_schema(Path(os.environ["SCHEMA"]).read_text(), query, mutation, result))
