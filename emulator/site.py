"""The sketch pad's own server: the files of `web/`, and the address of the endpoint they are to talk to."""

import argparse
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

WEB = Path(__file__).parent.parent / "web"

# Only scripts and styles of this folder run, and markup is never made from text. The page may talk to any
# HTTPS address, since its settings can name a deployed endpoint, and to plain HTTP on this machine alone.
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self' data: https: http://127.0.0.1:* http://localhost:*",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
HEADERS = {
    "Cache-Control": "no-cache",  # file names carry no version: browsers keep a file, but revalidate it
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class WithHeaders:
    """Adds the headers above to every answer that does not set them itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def site(endpoint: str) -> Starlette:
    """The pad, talking to this endpoint until its user names another one."""

    async def config(_: Request) -> Response:
        return JSONResponse({"endpoint": endpoint}, headers={"Cache-Control": "no-store"})

    return Starlette(
        routes=[Route("/config.json", config), Mount("/", StaticFiles(directory=WEB, html=True))],
        middleware=[Middleware(WithHeaders)],
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m emulator.site", description="Serve the sketch pad.")
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--endpoint", default="http://127.0.0.1:8080/graphql", help="where the pad sends sketches")
    options = parser.parse_args()
    uvicorn.run(site(options.endpoint), host="127.0.0.1", port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
