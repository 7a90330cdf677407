"""The ceiling's handlers as a function under functions-framework: what is left after the cost of the platform."""

from __future__ import annotations

import ceiling
import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response


@functions_framework.aio.http
async def bare(request: Request) -> Response:
    return await ceiling.HANDLERS[request.scope["path"]](request)
