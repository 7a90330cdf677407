"""Past the framework: from the second request on its layers are gone, and nothing that they were for is missed."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import httpx2
import pytest
from rubydraw import logs
from rubydraw.direct import bypass_framework
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope

from tests.functions.sketch_service import SketchService
from tests.servers import WAIT_S, Server

REFUSED = b'{"errors":[{"message":"The server speaks only HTTP/1.1: send no Upgrade header."}]}'
INNER = b"GET /up HTTP/1.1\r\nhost: x\r\n\r\n"
UPGRADE = f"""{{}} HTTP/1.1
host: x
connection: upgrade
upgrade: {{}}
sec-websocket-version: 13
sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==
content-length: {len(INNER)}

""".replace("\n", "\r\n")


class Framework:
    """An application whose one route leads to a function, as the framework's do."""

    def __init__(self) -> None:
        self.layered = 0
        self.app = Starlette(routes=[Route("/{path:path}", self._function)])

    async def _function(self, request: Request) -> ASGIApp:
        self.layered += 1
        return bypass_framework(request.app, self._answer)

    async def _answer(self, scope: Scope, _receive: Receive) -> Response:
        if scope["path"] == "/fault":
            raise ZeroDivisionError("a word of the sketch")
        return PlainTextResponse(scope["path"])

    def client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(self.app), base_url="http://tiny")


async def test_one_request_alone_passes_through_the_layers() -> None:
    """The others are answered alike without them."""
    framework = Framework()
    async with framework.client() as client:
        assert [(await client.get(f"/{each}")).text for each in range(4)] == ["/0", "/1", "/2", "/3"]
    assert framework.layered == 1


@pytest.mark.usefixtures("logging_as_it_was")
async def test_a_fault_is_logged_by_its_kind_and_shown_by_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """What the framework's page for exceptions did, without the texts that it would have logged."""
    logs.start(level="INFO", project="")
    framework = Framework()
    async with framework.client() as client:
        await client.get("/first")
        response = await client.get("/fault")
        assert (response.status_code, response.text) == (500, "Internal Server Error")
        assert (await client.get("/next")).text == "/next"
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(
        '{"severity":"ERROR","message":"answer.fault","kind":"ZeroDivisionError","at":"test_direct.py:'
    )
    assert "sketch" not in line


async def test_what_is_not_http_still_goes_to_the_layers() -> None:
    """They know how to refuse it."""
    framework = Framework()
    async with framework.client() as client:
        await client.get("/first")
    told: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        told.append(message["type"])

    await framework.app({"type": "websocket", "path": "/", "headers": []}, receive, send)
    assert told == ["websocket.close"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"])
async def test_a_strange_method_is_refused(service: SketchService, http: httpx2.AsyncClient, method: str) -> None:
    """By the framework for the first request, and by us from then on."""
    for _ in range(2):
        response = await http.request(method, f"{service.url}/graphql")
        assert response.status_code == 405


async def test_a_function_is_led_past_its_framework(service: SketchService, http: httpx2.AsyncClient) -> None:
    """The framework answers robots.txt itself, for the first request alone; from then on the function does."""
    await http.get(f"{service.url}/up")
    response = await http.get(f"{service.url}/robots.txt")
    assert (response.status_code, response.headers["content-type"]) == (404, "application/json; charset=utf-8")


async def test_the_first_request_is_answered_as_all_others_are() -> None:
    """The layers only find the function: a fault and an upgrade of the first request are ours already."""
    for path, headers, told in (("/fault", {}, 500), ("/", {"upgrade": "h2c"}, 400)):
        async with Framework().client() as client:
            answers = [await client.get(path, headers=headers) for _ in range(2)]
        assert [told] * 2 == [answer.status_code for answer in answers]


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
@pytest.mark.parametrize("asked", ["GET /graphql", "POST /graphql", "PUT /nope", "POST /up", "POST /images/x.png"])
@pytest.mark.parametrize("name", ["graphql", "worker"])
def test_a_function_refuses_an_upgrade_with_its_connection(
    request: pytest.FixtureRequest, name: str, asked: str, protocol: str
) -> None:
    """At once, and the body is not taken for the next request."""
    server: Server = request.getfixturevalue(f"{name}_server")
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S) as connection:
        connection.sendall(UPGRADE.format(asked, protocol).encode())
        answer = b""
        while not answer.endswith(REFUSED) and (piece := connection.recv(65_536)):
            answer += piece
        with contextlib.suppress(ConnectionError):
            connection.sendall(INNER)
            answer += b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert (b"HTTP/1.1 400 Bad Request", REFUSED) == (head.splitlines()[0], body)
    assert b"connection: close" in head.splitlines()


def test_a_function_takes_no_trailer_for_a_header_field(graphql_server: Server) -> None:
    """So it is served by our protocol, not by uvicorn's own: this one asks for a stream too late."""
    body = b'{"query":"{ __typename }"}'
    head = b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n"
    chunks = b"%x\r\n%s\r\n0\r\naccept: text/event-stream\r\n\r\n" % (len(body), body)
    with socket.create_connection(("127.0.0.1", graphql_server.port), timeout=WAIT_S) as connection:
        connection.sendall(head + b"transfer-encoding: chunked\r\n\r\n" + chunks)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"content-type: application/json" in answer
