"""The real schema behind the real endpoint, with resolvers of a line each: what its tests call."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from graphql import GraphQLError, build_schema
from rubydraw.http.server import ServerProtocol
from rubydraw.limits.admission import Intake
from rubydraw.principal import NOBODY, Principal
from starlette.types import Receive, Scope, Send

FOLDER = Path(__file__).parents[2] / "functions" / "graphql"
sys.path.append(str(FOLDER))

import access as access  # noqa: E402 - on the path since the line above; for tests
import coercion as coercion  # noqa: E402
import documents as documents  # noqa: E402
import execution as execution  # noqa: E402
import key_set as key_set  # noqa: E402
import lingering as lingering  # noqa: E402
import readers as readers  # noqa: E402
import resolvers as resolvers  # noqa: E402
import splicing as splicing  # noqa: E402
import sse as sse  # noqa: E402
import tokens as tokens  # noqa: E402
from endpoint import Endpoint  # noqa: E402
from incoming import Incoming as Incoming  # noqa: E402

GRAPHQL_RESPONSE = "application/graphql-response+json"
ORIGIN = "http://localhost:5173"
IMPROVE = """mutation Improve($input: ImproveSketchInput!) {
  improveSketch(input: $input) { result { imageBase64 title } errors clientMutationId }
}"""


class Context:
    """An object of this request alone, to see when the request is forgotten."""


Tell = Callable[[], AsyncGenerator[dict[str, Any]]]


async def anybody(_incoming: Incoming) -> Principal:
    return NOBODY


async def done_at_once() -> AsyncGenerator[dict[str, Any]]:
    yield {"status": "running"}
    yield {"status": "done"}


class TinyService:
    """An ASGI application that remembers what its resolvers got and what went wrong."""

    def __init__(
        self,
        *,
        introspection: bool = True,
        cors_origins: tuple[str, ...] = (ORIGIN,),
        principal: Callable[[Incoming], Awaitable[Principal]] = anybody,
        places: int = 250,
    ) -> None:
        self.inputs: list[dict[str, Any]] = []
        self.faults: list[str] = []
        self.contexts: list[weakref.ref[Context]] = []
        self.tell: Tell = done_at_once
        self.streams = 0
        self.connections: set[Any] = set()
        schema = build_schema((FOLDER / "schema.graphql").read_text())
        assert schema.mutation_type
        assert schema.query_type
        schema.mutation_type.fields["improveSketch"].resolve = self.improve_sketch
        schema.query_type.fields["improveSketchStatus"].resolve = self.improve_sketch_status
        assert schema.subscription_type
        schema.subscription_type.fields["improveSketchStatus"].subscribe = self.statuses
        schema.subscription_type.fields["improveSketchStatus"].resolve = lambda words, *_, **__: words
        self.intake = Intake(places)
        self.endpoint = Endpoint(
            schema,
            introspection=introspection,
            cors_origins=cors_origins,
            intake=self.intake,
            principal=principal,
            context=self.context,
            on_fault=self.on_fault,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self.endpoint(Incoming(scope, receive))
        await response(scope, receive, send)

    async def improve_sketch(self, _source: object, _info: object, input: dict[str, Any]) -> dict[str, Any]:
        self.inputs.append(input)
        if input.get("hints") == "crash":
            raise RuntimeError(f"crashed on {input['pngBase64']}")
        if input.get("hints") == "refuse":
            raise GraphQLError("Redis is away.", extensions={"code": "UNAVAILABLE", "trace": "t"})
        metadata = {"title": "A cat", "style": "flat", "palette": [], "background": "white", "notes": "-"}
        result = {"imageBase64": input["pngBase64"], "mimeType": "image/png", **metadata}
        return {"result": result, "errors": [], "clientMutationId": input.get("clientMutationId")}

    async def improve_sketch_status(self, _source: object, _info: object, **arguments: Any) -> dict[str, Any]:
        if arguments["requestId"] == "crash":
            raise RuntimeError("crashed")
        return {**arguments, "status": "not_found", "attempt": 0, "maxAttempts": 3}

    async def statuses(self, _source: object, _info: object, requestId: str) -> AsyncGenerator[dict[str, Any]]:  # noqa: N803
        """Tell what the test says, and count those who are being told."""
        self.streams += 1
        try:
            async with contextlib.aclosing(self.tell()) as told:
                async for words in told:
                    yield {"requestId": requestId, "attempt": 1, "maxAttempts": 3, **words}
        finally:
            self.streams -= 1

    def context(self, _incoming: Incoming, _principal: Principal) -> Context:
        context = Context()
        self.contexts.append(weakref.ref(context))
        return context

    def on_fault(self, error: Exception) -> str:
        self.faults.append(repr(error))
        return f"trace-{len(self.faults)}"

    def client(self) -> httpx2.AsyncClient:
        """Answer a client that needs no socket."""
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(self), base_url="http://tiny")

    async def post(self, body: Any, **headers: str) -> httpx2.Response:
        """Send bytes as they are, anything else as JSON; a header is named with underscores."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.client() as client:
            return await client.post("/", content=content, headers={"content-type": "application/json", **names})


def messages(response: httpx2.Response) -> list[str]:
    """Answer the sentences of the errors."""
    return [error["message"] for error in response.json()["errors"]]


@contextlib.contextmanager
def served(service: TinyService) -> Iterator[int]:
    """Serve on a free port of this machine, as the functions do, and yield the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(service, lifespan="off", log_level="warning", http=ServerProtocol, ws="none")
    server = uvicorn.Server(config)
    service.connections = server.server_state.connections
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
