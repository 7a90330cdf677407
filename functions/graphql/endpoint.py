"""GraphQL over HTTP: one request in, one response or stream out, as `graphql-http` and `graphql-sse` require."""

from __future__ import annotations

import functools
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import orjson
from cors import METHODS, Cors
from documents import Document, Documents
from execution import execute, subscribe
from faults import OnFault, internal_error
from graphql import GraphQLFormattedError, GraphQLSchema, OperationType
from incoming import Incoming
from lingering import LingeringResponse
from negotiation import EVENT_STREAM, GRAPHQL_RESPONSE, JSON, answer_type
from parameters import Parameters, from_query_string
from readers import Readers
from refusal import Refused
from rubydraw.errors import Unavailable
from rubydraw.limits.admission import Intake
from rubydraw.principal import Principal
from splicing import Pieces, PiecesResponse, encoded
from sse import EventStream
from starlette.requests import ClientDisconnect
from starlette.responses import Response

PATHS = frozenset({"/", "/graphql"})

Outcome = Pieces | AsyncGenerator[Pieces] | list[GraphQLFormattedError]


class Endpoint:
    """The GraphQL endpoint of this process.

    `principal` returns the caller before a body is read, or raises Refused or Unavailable; only a caller that is known
    takes room for a body in `intake`. `context` makes the context value of one operation; `on_fault` logs an unexpected
    exception and returns its trace id. Headers that are put into the request's `answer_headers` during the operation
    are sent with the answer.
    A GraphQLError with `extensions["code"]`, raised by a resolver, reaches the client as it is.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        *,
        introspection: bool,
        cors_origins: Sequence[str],
        intake: Intake,
        principal: Callable[[Incoming], Awaitable[Principal]],
        context: Callable[[Incoming, Principal], Any],
        on_fault: OnFault,
    ) -> None:
        self._schema = schema
        self._documents = Documents(schema, introspection=introspection)
        self._cors = Cors(cors_origins)
        self._principal, self._context, self._intake = principal, context, intake
        self._on_fault = on_fault
        self._readers = Readers()

    async def __call__(self, incoming: Incoming) -> Response:
        """Answer any request: a client's mistake is a 4xx or a GraphQL error; a fault of ours shows no details."""
        incoming.answer_headers = self._cors.headers(incoming.header(b"origin"))
        try:
            return await self._answer(incoming)
        except Refused as refusal:
            return _refused(incoming, refusal)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except Unavailable as unavailable:
            return _unavailable(incoming, unavailable)
        except Exception as error:  # the framework would log it, with texts of the request
            body = orjson.dumps({"errors": [internal_error(self._on_fault(error))]})
            return _response(incoming, 500, (body,), JSON)
        finally:
            if incoming.room:
                incoming.room.give_back()

    async def _answer(self, incoming: Incoming) -> Response:
        if incoming.path not in PATHS:
            raise Refused(404, "There is nothing here. The endpoint is /graphql.")
        if incoming.method == "OPTIONS":
            return self._preflight(incoming)
        if incoming.method not in ("GET", "POST"):
            raise Refused(405, "The endpoint answers GET and POST.", {"allow": METHODS})
        principal = await self._principal(incoming)
        media_type = answer_type(incoming.header(b"accept"))
        if media_type is None:
            raise Refused(406, f"The Accept header has to allow {GRAPHQL_RESPONSE}, {JSON} or {EVENT_STREAM}.")
        if incoming.method == "POST":
            incoming.room = room = self._intake.admit(_announced(incoming), principal.account)
            parameters = await self._readers.parameters(incoming)
            room.fill()
        else:
            parameters = from_query_string(incoming)
        outcome = await self._run(incoming, principal, parameters, streams=media_type == EVENT_STREAM)
        if media_type == EVENT_STREAM:
            bodies = _bodies(outcome) if isinstance(outcome, tuple | list) else outcome
            return EventStream(bodies, incoming.answer_headers)
        if isinstance(outcome, tuple):
            return _response(incoming, 200, outcome, media_type)
        status = 400 if media_type == GRAPHQL_RESPONSE else 200
        return _response(incoming, status, (orjson.dumps({"errors": outcome}),), media_type)

    async def _run(self, incoming: Incoming, principal: Principal, parameters: Parameters, *, streams: bool) -> Outcome:
        """Return the body of an executed operation, the bodies of a subscription, or the errors of a refused one."""
        document = self._documents.load(parameters.query)
        if not isinstance(document, Document):
            return document
        operation = document.operation(parameters.operation_name)
        if operation is None:
            return [{"message": "'operationName' has to name an operation of the document."}]
        kind = operation.node.operation
        if kind is OperationType.MUTATION and incoming.method == "GET":
            raise Refused(405, "Mutations have to be sent by POST.", {"allow": "POST"})
        context = self._context(incoming, principal)
        call = (self._schema, operation, parameters.variables, context, self._on_fault)
        if kind is not OperationType.SUBSCRIPTION:
            return await execute(*call)
        if not streams:
            return [{"message": f"Subscriptions are answered only as {EVENT_STREAM}: ask for it in the Accept header."}]
        return subscribe(*call)

    def _preflight(self, incoming: Incoming) -> Response:
        headers = self._cors.preflight_headers(incoming.header(b"origin"))
        return Response(status_code=204, headers={**_COMMON, "allow": METHODS, **headers})


_COMMON = {"x-content-type-options": "nosniff", "cache-control": "no-store"}


async def _bodies(outcome: Pieces | list[GraphQLFormattedError]) -> AsyncGenerator[Pieces]:
    yield outcome if isinstance(outcome, tuple) else (orjson.dumps({"errors": outcome}),)


def _response(incoming: Incoming, status: int, body: Pieces, media_type: str) -> Response:
    return PiecesResponse(body, status, [*_always(media_type), *encoded(incoming.answer_headers)])


@functools.cache  # encoding them each time would be 3 % of a small answer
def _always(media_type: str) -> list[tuple[bytes, bytes]]:
    return encoded({**_COMMON, "content-type": f"{media_type}; charset=utf-8"})


def _announced(incoming: Incoming) -> str | None:
    """Return the length of a body, None if it is not known."""
    return incoming.header(b"content-length") or (None if incoming.header(b"transfer-encoding") else "0")


def _unavailable(incoming: Incoming, error: Unavailable) -> Response:
    incoming.answer_headers["retry-after"] = str(math.ceil(error.retry_after_s or 1))
    body = orjson.dumps({"errors": [{"message": error.message, "extensions": {"code": error.code}}]})
    return _response(incoming, 503, (body,), JSON)


def _refused(incoming: Incoming, refusal: Refused) -> Response:
    error: dict[str, Any] = {"message": refusal.message}
    if refusal.code:
        error["extensions"] = {"code": refusal.code}
    incoming.answer_headers |= refusal.headers
    body = orjson.dumps({"errors": [error]})
    if refusal.status == 413 and incoming.more:
        return LingeringResponse(body, 413, {**_COMMON, **incoming.answer_headers}, f"{JSON}; charset=utf-8")
    return _response(incoming, refusal.status, (body,), JSON)
