"""Pub/Sub hands over one job; redraw its sketch. A 2xx answer acknowledges, anything else asks for redelivery."""

from __future__ import annotations

import functools
import gc
import os
from typing import Any

gc.disable()  # the imports below leave no garbage, and looking for it takes a quarter of the cold start

import functions_framework.aio
from delivery import Deliveries
from rubydraw import wiring
from rubydraw.direct import bypass_framework
from rubydraw.errors import Unavailable
from rubydraw.settings import BadSettings, Settings
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope

try:
    SETTINGS = Settings.from_env(os.environ)
except BadSettings as bad:
    raise SystemExit(str(bad)) from None

gc.freeze()  # what is loaded now stays: the server forks after this, and the collector need not walk it again
gc.enable()


@functools.cache
def parts() -> wiring.Parts:
    """Connections of this instance: made at the first delivery, shared by all later ones. Without Redis, jobs wait."""
    return wiring.parts(SETTINGS, calls_without_redis_per_minute=0)


@functools.cache
def deliveries() -> Deliveries:
    return Deliveries(wiring.work(parts()), parts().jobs, parts().publisher, SETTINGS)


@functions_framework.aio.http
async def worker(request: Request) -> Any:  # an ASGI application, as each response is one
    """Answer the first request, and those concurrent with it; all later ones bypass the framework."""
    return bypass_framework(request.app, _answer)


async def _answer(scope: Scope, receive: Receive) -> Response:
    match scope["path"]:
        case "/up":
            return JSONResponse({"up": True})
        case "/ready":
            ready = await parts().ready()
            return JSONResponse({"ready": ready}, status_code=200 if ready else 503)
    request = Request(scope, receive)
    try:
        with parts().intake.admit(request.headers.get("content-length")):
            return await deliveries()(request)
    except Unavailable:
        return Response(status_code=503)
