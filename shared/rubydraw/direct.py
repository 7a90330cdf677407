"""Past the framework: requests come straight from the server once the first one has shown where they come from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from rubydraw import logs

Answer = Callable[[Scope, Receive], Awaitable[Response]]


def lead_past(app: Starlette, answer: Answer) -> None:
    """
    Have `app` give HTTP requests to `answer` from now on, and all else to its own layers, as before.

    An exception of `answer` is logged by its kind and place; the client gets the 500 that the framework would send.
    """
    if app.middleware_stack and not isinstance(app.middleware_stack, _Straight):
        app.middleware_stack = _Straight(answer, app.middleware_stack)


class _Straight:
    """
    Leaves out what the framework does for each request: half of what a `{ __typename }` takes beyond the bare server.

    Nothing of it is of use here: routes which all lead to one function, marks for log lines that `logs` makes itself,
    a page for exceptions.
    """

    def __init__(self, answer: Answer, layers: ASGIApp) -> None:
        self._answer, self._layers = answer, layers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._layers(scope, receive, send)
            return
        try:
            response = await self._answer(scope, receive)
        except Exception as error:  # the server would log its text
            logs.error("answer.fault", kind=type(error).__name__, at=logs.place(error))
            response = PlainTextResponse("Internal Server Error", 500)
        await response(scope, receive, send)
