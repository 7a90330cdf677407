"""GraphQL over HTTP: one request in, one response or stream out, as `graphql-http` and `graphql-sse` ask."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson
from cors import METHODS, Cors
from documents import Document, Documents
from execution import OnFault, execute, internal_error, subscribe
from graphql import GraphQLFormattedError, GraphQLSchema, OperationType
from negotiation import EVENT_STREAM, GRAPHQL_RESPONSE, JSON, answer_type
from parameters import BadRequest, Parameters, from_body, from_query_string
from rubydraw.errors import SketchError, Unavailable
from rubydraw.principal import Principal
from splicing import Pieces, PiecesResponse
from sse import EventStream
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

PATHS = frozenset({"/", "/graphql"})

Outcome = Pieces | AsyncGenerator[bytes] | list[GraphQLFormattedError]


class Endpoint:
    """The GraphQL endpoint of this process.

    `principal` answers who calls, before a body is read, or raises BadRequest or Unavailable; `context` makes the
    context value of one operation, `on_fault` logs an unexpected exception and answers its trace id. What is put
    into `request.state.answer_headers` while it runs goes out with the answer.
    A GraphQLError with `extensions["code"]`, raised by a resolver, reaches the client as it is.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        *,
        introspection: bool,
        cors_origins: Sequence[str],
        principal: Callable[[Request], Awaitable[Principal]],
        context: Callable[[Request, Principal], Any],
        on_fault: OnFault,
    ) -> None:
        self._schema = schema
        self._documents = Documents(schema, introspection=introspection)
        self._cors = Cors(cors_origins)
        self._principal, self._context = principal, context
        self._on_fault = on_fault

    async def __call__(self, request: Request) -> Response:
        """Answer any request: a fault of the client's is a 4xx or a GraphQL error, none of ours is shown."""
        request.state.answer_headers = {}
        try:
            response = await self._answer(request)
        except BadRequest as refusal:
            response = _refused(refusal)
        except ClientDisconnect:
            response = Response(status_code=400)  # nobody is there to read it
        except Unavailable as unavailable:
            return self.full(request, unavailable)
        except Exception as error:  # the framework would log the request's texts with it
            body = orjson.dumps({"errors": [internal_error(self._on_fault(error))]})
            response = _response(500, body, JSON)
        response.headers.update(self._cors.headers(request.headers.get("origin")))
        return response

    def full(self, request: Request, error: SketchError) -> Response:
        """Answer 503 to a request whose body has not been read, because it cannot be taken now."""
        body = orjson.dumps({"errors": [{"message": error.message, "extensions": {"code": error.code}}]})
        headers = {"retry-after": str(round(error.retry_after_s or 1))}
        response = _response(503, body, JSON, headers)
        response.headers.update(self._cors.headers(request.headers.get("origin")))
        return response

    async def _answer(self, request: Request) -> Response:
        if request.scope["path"] not in PATHS:
            raise BadRequest(404, "There is nothing here. The endpoint is /graphql.")
        if request.method == "OPTIONS":
            return self._preflight(request)
        if request.method not in ("GET", "POST"):
            raise BadRequest(405, "The endpoint answers GET and POST.", {"allow": METHODS})
        principal = await self._principal(request)
        media_type = answer_type(request.headers.get("accept"))
        if media_type is None:
            raise BadRequest(406, f"The endpoint answers {GRAPHQL_RESPONSE}, {JSON} and {EVENT_STREAM}.")
        if request.method == "POST":
            parameters = await from_body(request)
        else:
            parameters = from_query_string(request)
        outcome = await self._run(request, principal, parameters, streams=media_type == EVENT_STREAM)
        if media_type == EVENT_STREAM:
            return EventStream(_bodies(outcome) if isinstance(outcome, tuple | list) else outcome)
        if isinstance(outcome, tuple):
            return _response(200, outcome, media_type, request.state.answer_headers)
        status = 400 if media_type == GRAPHQL_RESPONSE else 200
        return _response(status, orjson.dumps({"errors": outcome}), media_type)

    async def _run(self, request: Request, principal: Principal, parameters: Parameters, *, streams: bool) -> Outcome:
        """Answer the body of an operation that was executed, or the bodies of a subscription, or why it is neither."""
        document = self._documents.load(parameters.query)
        if not isinstance(document, Document):
            return document
        operation = document.operation(parameters.operation_name)
        if operation is None:
            return [{"message": "No such operation, or several: 'operationName' has to name one."}]
        kind = operation.node.operation
        if kind is OperationType.MUTATION and request.method == "GET":
            raise BadRequest(405, "Mutations are sent by POST.", {"allow": "POST"})
        context = self._context(request, principal)
        call = (self._schema, operation, parameters.variables, context, self._on_fault)
        if kind is not OperationType.SUBSCRIPTION:
            return await execute(*call)
        if not streams:
            return [{"message": f"Subscriptions are answered as {EVENT_STREAM}: accept that."}]
        return subscribe(*call)

    def _preflight(self, request: Request) -> Response:
        headers = self._cors.preflight_headers(request.headers.get("origin"))
        return Response(status_code=204, headers={**_COMMON, "allow": METHODS, **headers})


_COMMON = {"x-content-type-options": "nosniff", "cache-control": "no-store"}


async def _bodies(outcome: Pieces | list[GraphQLFormattedError]) -> AsyncGenerator[bytes]:
    yield b"".join(outcome) if isinstance(outcome, tuple) else orjson.dumps({"errors": outcome})


def _response(status: int, body: bytes | Pieces, media_type: str, headers: Mapping[str, str] | None = None) -> Response:
    all_headers = {**_COMMON, "content-type": f"{media_type}; charset=utf-8", **(headers or {})}
    return Response(body, status, all_headers) if isinstance(body, bytes) else PiecesResponse(body, status, all_headers)


def _refused(refusal: BadRequest) -> Response:
    error: dict[str, Any] = {"message": refusal.message}
    if refusal.code:
        error["extensions"] = {"code": refusal.code}
    body = orjson.dumps({"errors": [error]})
    return _response(refusal.status, body, JSON, refusal.headers)
