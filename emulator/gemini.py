"""The Gemini API on the laptop: generateContent with its real wire format, answered by an offline clean-up.

`python -m emulator.gemini --port N` listens on 127.0.0.1. Beside the API: `GET` and `DELETE /calls`, `/faults`
(see faults.py), and `POST /release`, which releases the calls that a `hold` fault keeps waiting.
"""

import argparse
import asyncio
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulator import gemini_wire as wire
from emulator.faults import Faults
from emulator.redraw import redraw


class Gemini:
    """One stand-in: its counters, its script of faults, and the calls that it holds back."""

    def __init__(self, delay_s: float) -> None:
        """`delay_s` is added to every answer."""
        self._delay_s = delay_s
        self._count = self._waiting = 0
        self._faults = Faults(wire.GeminiFault)
        self._released = asyncio.Event()
        self._redraws = ThreadPoolExecutor(2, thread_name_prefix="redraw")

    def app(self) -> Starlette:
        """The HTTP application."""
        routes = [
            Route("/calls", self._calls, methods=["GET", "DELETE"]),
            Route("/release", self._release, methods=["POST"]),
            *self._faults.routes(),
            Route("/{path:path}", self._describe, methods=["GET"]),
            Route("/{path:path}", self._call, methods=["POST"]),
        ]
        return Starlette(routes=routes)

    async def _calls(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._count = 0
        return JSONResponse({"count": self._count, "waiting": self._waiting})

    async def _release(self, _: Request) -> Response:
        self._released.set()
        self._released = asyncio.Event()
        return Response(status_code=204)

    async def _describe(self, request: Request) -> Response:
        """Answer with the description of a model; nothing is generated, so it is not counted as a call."""
        asked = wire.MODEL_PATH.fullmatch(request.url.path)
        try:
            if asked is None:
                raise wire.ApiError(404, "Requested entity was not found.")
            wire.authorize(request.headers, vertex=asked["vertex"] is not None)
            if fault := self._faults.take("status"):
                raise wire.ApiError(fault.status, "The stand-in was told to answer this.", fault.retry_after_s)
        except wire.ApiError as error:
            return error.response()
        return wire.described(asked["model"], asked["vertex"] is not None)

    async def _call(self, request: Request) -> Response:
        """Answer one call, and drop it as soon as its caller has gone."""
        called = wire.PATH.fullmatch(request.url.path)
        if called is None:
            return wire.ApiError(404, "Requested entity was not found.").response()
        self._count += 1
        try:
            wire.authorize(request.headers, vertex=called["vertex"] is not None)
            body = await request.body()
            answer = asyncio.ensure_future(self._answer(body, called["model"], self._faults.take()))
        except wire.ApiError as error:
            return error.response()
        gone = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
            return answer.result() if answer.done() else Response(status_code=499)
        except wire.ApiError as error:
            return error.response()
        finally:
            answer.cancel()
            gone.cancel()

    async def _answer(self, body: bytes, model: str, fault: wire.GeminiFault | None) -> Response:
        """The picture redrawn, unless the fault says otherwise."""
        sketch = wire.sketch(body)
        kind = fault.kind if fault else ""
        await asyncio.sleep(self._delay_s + (fault.seconds if fault and kind == "slow" else 0))
        if kind in ("hang", "hold"):
            await self._wait(self._released if kind == "hold" else asyncio.Event())
        if fault and kind == "status":
            raise wire.ApiError(fault.status, "The stand-in was told to answer this.", fault.retry_after_s)
        if fault and kind == "refuse":
            return wire.refusal(fault, model)
        loop = asyncio.get_running_loop()
        try:
            redrawn = await loop.run_in_executor(self._redraws, redraw, sketch)
            picture = await loop.run_in_executor(self._redraws, wire.encoded, redrawn.png, kind)
        except OSError as error:
            raise wire.ApiError(400, "Unable to process input image.") from error
        return wire.spoiled(wire.content(redrawn, picture, model), fault)

    async def _wait(self, event: asyncio.Event) -> None:
        self._waiting += 1
        try:
            await event.wait()
        finally:
            self._waiting -= 1


async def _gone(request: Request) -> None:
    """Return when the caller has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def main() -> None:
    """Serve until SIGTERM or Ctrl-C; calls still waiting then are cut off after a second."""
    parser = argparse.ArgumentParser(prog="python -m emulator.gemini", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    app = Gemini(float(os.environ.get("GEMINI_DELAY_S", "0"))).app()
    # Idle connections are kept for a minute, as the service does: its clients give them up after five seconds.
    uvicorn.run(
        app, host="127.0.0.1", port=port, access_log=False, log_level="critical",
        timeout_graceful_shutdown=1, timeout_keep_alive=60,
    )  # fmt: skip


if __name__ == "__main__":
    main()
