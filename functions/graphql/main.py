"""GraphQL over HTTP: hand each request to the endpoint of this instance."""

from __future__ import annotations

import functools
import gc
import os
from typing import Any

gc.disable()  # the imports below leave no garbage, and looking for it takes a quarter of the cold start

import functions_framework.aio
from access import Access
from addresses import PATH, Addresses
from contract import bound_schema
from endpoint import Endpoint
from incoming import Incoming
from pictures import Pictures
from resolvers import Context, Resolvers, on_fault
from rubydraw import logs, wiring
from rubydraw.direct import bypass_framework
from rubydraw.graphql_settings import GraphqlSettings
from rubydraw.settings import BadSettings
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope

try:
    SETTINGS = GraphqlSettings.from_env(os.environ)
except BadSettings as bad:
    raise SystemExit(str(bad)) from None

gc.freeze()  # what is loaded now stays: the server forks after this, and the collector need not walk it again
gc.enable()
gc.set_threshold(4_000)  # a status request takes a tenth less CPU than at 700; at 10,000 an instance takes 16 MiB more


@functools.cache
def parts() -> wiring.Parts:
    """Connections of this instance: made at the first request, shared by all later ones."""
    return wiring.parts(SETTINGS, calls_without_redis_per_minute=SETTINGS.local_allowance_per_minute)


@functools.cache
def addresses() -> Addresses:
    return Addresses(SETTINGS.image_signing_key, SETTINGS.public_url)


@functools.cache
def pictures() -> Pictures:
    return Pictures(wiring.images(parts()), addresses(), SETTINGS.cors_origins)


@functools.cache
def endpoint() -> Endpoint:
    quotas = wiring.quotas(parts())
    resolvers = Resolvers(
        wiring.submit(parts()), wiring.watch(parts()), quotas, wiring.images(parts()), addresses(), SETTINGS
    )
    return Endpoint(
        bound_schema(resolvers),
        introspection=SETTINGS.introspection,
        cors_origins=SETTINGS.cors_origins,
        intake=parts().intake,
        principal=Access(SETTINGS, quotas).principal,
        context=Context,
        on_fault=on_fault,
    )


@functions_framework.aio.http
async def graphql(request: Request) -> Any:  # an ASGI application, as each response is one
    """Answer the first request, and those concurrent with it; all later ones bypass the framework."""
    return bypass_framework(request.app, _answer)


async def _answer(scope: Scope, receive: Receive) -> Response:
    match scope["path"]:
        case "/up":
            return JSONResponse({"up": True})
        case "/ready":
            ready = await parts().ready()
            return JSONResponse({"ready": ready}, status_code=200 if ready else 503)
        case path if path.startswith(PATH):
            return await pictures()(Incoming(scope, receive))
    incoming = Incoming(scope, receive)
    logs.trace_request(incoming.header(b"traceparent") or "", incoming.header(b"function-execution-id") or "")
    return await endpoint()(incoming)
