"""A bypass of the framework: after the first request, the server hands each request straight to our code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn_worker import UvicornWorker

from rubydraw import logs
from rubydraw.http.server import ServerProtocol

Answer = Callable[[Scope, Receive], Awaitable[Response]]

# The package `websockets`, which Gemini's SDK brings, is not for the server: it would keep some upgrades unanswered.
UvicornWorker.CONFIG_KWARGS |= {"http": ServerProtocol, "ws": "none"}
_NO_UPGRADE = {"errors": [{"message": "The server speaks only HTTP/1.1: send no Upgrade header."}]}


def bypass_framework(app: Starlette, answer: Answer) -> ASGIApp:
    """
    Make `app` pass HTTP requests to `answer` from now on, and everything else to its own layers, as before.

    Return what answers the request that is there now, as it will answer all others. A request for an upgrade is
    refused. If `answer` raises, the exception's class and place are logged; the client gets the 500 of the framework.
    """
    assert app.middleware_stack  # noqa: S101 - a request has passed through it
    if not isinstance(app.middleware_stack, _Bypass):
        app.middleware_stack = _Bypass(answer, app.middleware_stack)
    return app.middleware_stack


class _Bypass:
    """
    Skips the framework's work for each request: half of what a `{ __typename }` takes beyond the bare server.

    None of that work is of use here: routes that all lead to one function, log marks that `logs` makes itself, and a
    page for exceptions.
    """

    def __init__(self, answer: Answer, layers: ASGIApp) -> None:
        self._answer, self._layers = answer, layers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._layers(scope, receive, send)
            return
        try:
            response = _refusal(scope) or await self._answer(scope, receive)
        except Exception as error:  # uncaught, the server would log its message
            logs.error("answer.fault", kind=type(error).__name__, at=logs.place(error))
            response = PlainTextResponse("Internal Server Error", 500)
        await response(scope, receive, send)


def _refusal(scope: Scope) -> Response | None:
    """Refuse an upgrade with its connection: the server reads no body then, and takes it for the next request."""
    for name, _ in scope["headers"]:
        if name == b"upgrade":
            return JSONResponse(_NO_UPGRADE, 400, {"connection": "close"})
    return None
