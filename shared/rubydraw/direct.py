"""A bypass of the framework: after the first request, the server hands each request straight to our code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from rubydraw import logs

Answer = Callable[[Scope, Receive], Awaitable[Response]]


def lead_past(app: Starlette, answer: Answer) -> None:
    """
    Make `app` pass HTTP requests to `answer` from now on, and everything else to its own layers, as before.

    If `answer` raises, the exception's class and place are logged; the client gets the 500 of the framework.
    """
    if app.middleware_stack and not isinstance(app.middleware_stack, _Straight):
        app.middleware_stack = _Straight(answer, app.middleware_stack)


class _Straight:
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
            response = await self._answer(scope, receive)
        except Exception as error:  # uncaught, the server would log its message
            logs.error("answer.fault", kind=type(error).__name__, at=logs.place(error))
            response = PlainTextResponse("Internal Server Error", 500)
        await response(scope, receive, send)
