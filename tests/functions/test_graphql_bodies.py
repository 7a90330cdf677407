"""How much of a body is read: over real sockets, since a body in memory arrives all at once."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator

import httpx2
import pytest
from rubydraw import logs
from rubydraw.principal import Principal
from rubydraw.sketch import MAX_SVG_BYTES

from tests.functions.tiny_graphql import IMPROVE, Incoming, TinyService, lingering, readers, served, splicing
from tests.servers import poll

MIB = 1024 * 1024
CHUNK = b"10000\r\n" + b" " * 65_536 + b"\r\n"


@pytest.fixture(scope="module")
def service() -> TinyService:
    return TinyService()


@pytest.fixture(scope="module")
def port(service: TinyService) -> Iterator[int]:
    with served(service) as port:
        yield port


def opened(port: int, *headers: str) -> socket.socket:
    """Connect and send the head of a POST request."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    lines = ("POST /graphql HTTP/1.1", "host: tiny", "content-type: application/json", *headers)
    connection.sendall("\r\n".join((*lines, "", "")).encode())
    return connection


def test_a_body_announced_too_large_is_refused_unread(port: int) -> None:
    """The length alone is enough for a 413."""
    with opened(port, f"content-length: {12 * MIB + 1}") as connection:
        assert b"HTTP/1.1 413" == connection.recv(12)


def test_a_streamed_body_is_refused_at_the_first_byte_too_many(port: int) -> None:
    """Without a length the bytes are counted, and reading stops."""
    with opened(port, "transfer-encoding: chunked") as connection:
        for _ in range(12 * 16):
            connection.sendall(CHUNK)
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(10)
        connection.sendall(CHUNK)
        assert b"HTTP/1.1 413" == connection.recv(12)


def all_of(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


@pytest.mark.parametrize("size_bytes", [12 * MIB + 65_536, 13 * MIB, 20 * MIB])
@pytest.mark.parametrize("header", ["content-length: {}", "transfer-encoding: chunked"])
def test_who_sends_all_of_a_body_too_large_reads_why(port: int, header: str, size_bytes: int) -> None:
    """The server closes after the rest has come: bytes left unread would reset the connection, answer and all."""
    for _ in range(5):
        with opened(port, header.format(size_bytes)) as connection:
            if "chunked" in header:
                connection.sendall(CHUNK * (size_bytes // 65_536) + b"0\r\n\r\n")
            else:
                connection.sendall(b" " * size_bytes)
            answer = all_of(connection)
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"connection: close" in answer
        assert answer.endswith(b'{"errors":[{"message":"The body is larger than 12 MiB."}]}')


def test_the_request_after_a_body_too_large_is_answered(port: int) -> None:
    """By the same client, which opens another connection by itself."""
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
        bodies = [b" " * (13 * MIB), b'{"query": "{ __typename }"}'] * 3
        answers = [client.post("/", content=body, headers={"content-type": "application/json"}) for body in bodies]
    assert [413, 200] * 3 == [answer.status_code for answer in answers]


@pytest.mark.parametrize(("name", "value"), [("LINGER_S", 0.2), ("LINGER_BYTES", MIB)])
def test_the_rest_of_a_body_too_large_is_not_taken_for_ever(
    monkeypatch: pytest.MonkeyPatch, port: int, name: str, value: float
) -> None:
    """One that stops coming is waited for so long, and of one that does not end so much is taken."""
    monkeypatch.setattr(lingering, name, value)
    with opened(port, f"content-length: {1024 * MIB}") as connection:
        if name == "LINGER_S":
            connection.sendall(b" ")
            assert all_of(connection).startswith(b"HTTP/1.1 413")
        else:
            with pytest.raises(ConnectionError):
                connection.sendall(b" " * (100 * MIB))


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes up the room of others, whether nothing comes at all or only its beginning; the next one is served."""
    monkeypatch.setattr(readers, "BODY_S", 0.3)
    with served(TinyService()) as port:
        for sent in (b"", b'{"query":'):
            with opened(port, f"content-length: {11 * MIB}") as connection:
                connection.sendall(sent)
                answer = all_of(connection)
                assert answer.startswith(b"HTTP/1.1 408")
                assert b"connection: close" in answer.lower()
                assert b"The body did not arrive within" in answer
        assert 200 == httpx2.post(f"http://127.0.0.1:{port}/", json={"query": "{ __typename }"}).status_code


async def named(incoming: Incoming) -> Principal:
    return Principal(account=incoming.header(b"x-caller") or "")


async def test_a_body_holds_its_room_until_the_answer_and_is_to_come_until_it_is_here() -> None:
    """One account may have more bodies here than it may have on their way."""
    service, seen = TinyService(principal=named), []

    async def look(*_: object, **__: object) -> None:
        seen.append((service.intake.held_bytes > 0, dict(service.intake.coming_bytes)))

    schema = service.endpoint._schema
    assert schema.mutation_type
    schema.mutation_type.fields["improveSketch"].resolve = look
    await service.post({"query": IMPROVE, "variables": {"input": {"pngBase64": ""}}}, x_caller="ada")
    assert ([(True, {})], 0) == (seen, service.intake.held_bytes)


def test_who_announces_bodies_and_sends_none_keeps_nobody_else_out() -> None:
    """One account has half of the room for what is still to come; it gets it back when it leaves."""

    def status(caller: str) -> int:
        body = {"query": "{ __typename }"}
        return httpx2.post(f"http://127.0.0.1:{port}/", json=body, headers={"x-caller": caller}).status_code

    service = TinyService(principal=named, places=20)
    with served(service) as port:
        with opened(port, "x-caller: ada", "transfer-encoding: chunked"):
            poll(lambda: service.intake.held_bytes > 0, "the body is not awaited")
            assert [503, 200, 503, 200] == [status(caller) for caller in ("ada", "bo", "ada", "bo")]
        poll(lambda: service.intake.held_bytes == 0, "the room is kept")
        assert 200 == status("ada")


@pytest.mark.parametrize("value", [b"[]", b'{"":0}', b'"a"'])
def test_a_body_of_very_many_values_is_refused(port: int, value: bytes) -> None:
    """Read, they would take 40 times its room."""
    values = b",".join([value] * (11 * MIB // (len(value) + 1)))
    body = b'{"query": "{ __typename }", "variables": {"a": [' + values + b"]}}"
    response = httpx2.post(f"http://127.0.0.1:{port}/", content=body, headers={"content-type": "application/json"})
    told = [{"message": "The body has more than 300,000 commas, brackets and braces."}]
    assert (400, told) == (response.status_code, response.json()["errors"])


@pytest.mark.parametrize("name", ["n%d", "n%d\\"], ids=["plain", "that end with a backslash"])
def test_a_body_of_very_many_names_is_refused(port: int, name: str) -> None:
    """To parse them would keep the others waiting."""
    body = {"query": "{ __typename }", "variables": {name % number: 1 for number in range(41_000)}}
    response = httpx2.post(f"http://127.0.0.1:{port}/", json=body)
    assert (400, [{"message": "The body has more than 20,000 strings."}]) == (
        response.status_code,
        response.json()["errors"],
    )


def test_a_body_of_many_names_is_read(port: int) -> None:
    """Just below the limit."""
    body = {"query": "{ __typename }", "variables": {f"n{number}": 1 for number in range(19_990)}}
    assert {"data": {"__typename": "Query"}} == httpx2.post(f"http://127.0.0.1:{port}/", json=body).json()


@pytest.mark.parametrize("mark", [",", '",', "\\,", '\\",'])
def test_the_longest_svg_is_no_crowd(port: int, service: TinyService, mark: str) -> None:
    """Whatever it holds."""
    given = {"pngBase64": "A" * MIB, "svg": mark * (MAX_SVG_BYTES // len(mark))}
    httpx2.post(f"http://127.0.0.1:{port}/", json={"query": IMPROVE, "variables": {"input": given}})
    assert given.items() <= service.inputs.pop().items()


def test_a_client_that_does_not_read_its_answer_is_let_go(
    monkeypatch: pytest.MonkeyPatch, port: int, service: TinyService, caplog: pytest.LogCaptureFixture
) -> None:
    """What it has not taken would be held for as long as it likes: so is not even its connection."""
    told: list[str] = []
    let_go = threading.Event()

    def warned(event: str) -> None:
        told.append(event)
        let_go.set()

    monkeypatch.setattr(splicing, "PIECE_S", 0.3)
    monkeypatch.setattr(logs, "warning", warned)
    body = json.dumps({"query": IMPROVE, "variables": {"input": {"pngBase64": "A" * (11 * MIB)}}}).encode()
    with opened(port, f"content-length: {len(body)}") as connection:
        connection.sendall(body)
        assert let_go.wait(10)
        poll(lambda: not service.connections, "the connection is still open")
        assert 11 * MIB > len(all_of(connection))
    assert (["answer.not_read"], []) == (told, [each for each in caplog.records if each.name.startswith("uvicorn")])


def test_a_trailer_is_no_header_field(port: int) -> None:
    """It could name another sender, or ask for another form of the answer."""
    body = json.dumps({"query": "{ __typename }"}).encode()
    trailers = b"accept: text/event-stream\r\nx-forwarded-for: 192.0.2.1\r\n\r\n"
    with opened(port, "transfer-encoding: chunked", "connection: close") as connection:
        connection.sendall(b"%x\r\n%s\r\n0\r\n%s" % (len(body), body, trailers))
        assert b"content-type: application/json" in all_of(connection)


def test_a_body_just_below_the_limit_is_read(port: int) -> None:
    """A variable of eleven and a half megabytes comes back as it was sent."""
    sketch = "A" * (23 * MIB // 2)
    body = {"query": IMPROVE, "variables": {"input": {"pngBase64": sketch}}}
    response = httpx2.post(f"http://127.0.0.1:{port}/graphql", json=body, timeout=30)
    assert sketch == response.json()["data"]["improveSketch"]["result"]["imageBase64"]


def test_a_client_that_leaves_in_mid_body_is_no_fault(
    port: int, service: TinyService, caplog: pytest.LogCaptureFixture
) -> None:
    """A broken upload is neither answered nor logged, and the next request is served."""
    caplog.set_level(logging.INFO)
    for _ in range(5):
        with opened(port, "content-length: 1000") as connection:
            connection.sendall(b'{"query":')
    response = httpx2.post(f"http://127.0.0.1:{port}/", json={"query": "{ __typename }"})
    assert (200, []) == (response.status_code, service.faults)
    assert [] == [record for record in caplog.records if not record.name.startswith("httpx2")]
