"""Event streams over a real socket: what distinct connections of `graphql-sse` look like, and who frees what when."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from graphql import GraphQLError
from rubydraw.errors import Stopping
from starlette.types import Message

from tests.functions.tiny_graphql import IMPROVE, ORIGIN, Tell, TinyService, messages, served, sse
from tests.servers import POLL_S, WAIT_S

from splicing import Pieces, pieces  # isort: skip
from sse import PIECE_BYTES, EventStream  # isort: skip

WATCH = "subscription Watch($id: String!) { improveSketchStatus(requestId: $id) { requestId status } }"
SUBSCRIBE = {"query": WATCH, "variables": {"id": "a"}}
STREAM = "text/event-stream"
CANARY = "canary 5d1f"


@pytest.fixture
def service() -> TinyService:
    return TinyService()


@pytest.fixture
def url(service: TinyService) -> Iterator[str]:
    with served(service) as port:
        yield f"http://127.0.0.1:{port}/graphql"


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"accept": STREAM, "origin": ORIGIN}
    async with httpx2.AsyncClient(trust_env=False, timeout=WAIT_S, headers=headers) as client:
        yield client


@asynccontextmanager
async def reading(
    url: str, body: dict[str, Any], *, limit: int = 2**16, behind: bytes = b""
) -> AsyncIterator[asyncio.StreamReader]:
    """Ask over a plain socket, whose reader takes no more than it is asked for; go without a word afterwards."""
    port, text = int(url.split(":")[2].split("/")[0]), json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
    head = f"POST / HTTP/1.1\r\nhost: a\r\naccept: {STREAM}\r\ncontent-type: application/json\r\ncontent-length: "
    writer.write(head.encode() + b"%d\r\n\r\n" % len(text) + text + behind)
    await writer.drain()
    try:
        yield reader
    finally:
        writer.transport.abort()


async def told(url: str) -> bytes:
    """All bytes of a stream's answer, to its end; the connection stays open."""
    async with reading(url, SUBSCRIBE) as reader, asyncio.timeout(WAIT_S):
        return await reader.readuntil(b"\r\n0\r\n\r\n")


async def until_streams(service: TinyService, count: int) -> None:
    """Wait until so many are being told."""
    async with asyncio.timeout(WAIT_S):
        while service.streams != count:
            await asyncio.sleep(POLL_S)


async def never_done() -> AsyncGenerator[dict[str, Any]]:
    yield {"status": "running"}
    await asyncio.Event().wait()


async def test_states_are_told_one_by_one_and_then_the_end(url: str, client: httpx2.AsyncClient) -> None:
    """By bytes: a comment, a `next` for each state, and a `complete` with empty data."""
    response = await client.post(url, json=SUBSCRIBE)
    events = [
        b'event: next\ndata: {"data":{"improveSketchStatus":{"requestId":"a","status":"%s"}}}\n\n' % status
        for status in (b"running", b"done")
    ]
    assert b":\n\n" + b"".join(events) + b"event: complete\ndata:\n\n" == response.content


async def test_headers_keep_everybody_on_the_way_from_holding_events_back(url: str, client: httpx2.AsyncClient) -> None:
    """No cache, no compression, no buffer; and a listed origin may read it."""
    response = await client.post(url, json=SUBSCRIBE)
    expected = {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-cache, no-transform",
        "x-accel-buffering": "no",
        "x-content-type-options": "nosniff",
        "access-control-allow-origin": ORIGIN,
        "vary": "Origin",
        "transfer-encoding": "chunked",
    }
    assert expected == {name: response.headers[name] for name in expected}
    assert "content-length" not in response.headers


async def test_an_event_source_subscribes_by_get(url: str, client: httpx2.AsyncClient) -> None:
    """A browser's EventSource can do nothing else."""
    response = await client.get(url, params={"query": WATCH, "variables": '{"id": "a"}'})
    assert (200, 2, 1) == (response.status_code, response.text.count("event: next"), response.text.count("complete"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"query": "subscription {"}, "Syntax Error: Expected Name, found <EOF>."),
        ({"query": "subscription { nothing }"}, "Cannot query field 'nothing' on type 'Subscription'."),
        ({"query": WATCH}, "Variable '$id' has to be of type 'String!', found nothing."),
        (
            {**SUBSCRIBE, "operationName": "Other"},
            "'operationName' has to name an operation of the document.",
        ),
        (
            {"query": "subscription { __typename }"},
            "Anonymous Subscription must not select an introspection top level field.",
        ),
        (
            {"query": "subscription A { a: improveSketchStatus(requestId: 1) { status } }"},
            "Argument 'requestId' has to be of type 'String!', found a number.",
        ),
    ],
)
async def test_what_is_not_executed_is_told_in_the_stream(
    url: str, client: httpx2.AsyncClient, service: TinyService, body: dict[str, Any], message: str
) -> None:
    """Always 200: a client of event streams takes any other status for a broken connection."""
    response = await client.post(url, json=body)
    assert (200, True) == (response.status_code, response.headers["content-type"].startswith(STREAM))
    comment, event, end = response.text.split("\n\n")[:3]
    assert (":", "event: complete\ndata:") == (comment, end)
    answer = json.loads(event.removeprefix("event: next\ndata: "))
    assert ({"errors"}, message) == (answer.keys(), answer["errors"][0]["message"])
    assert 0 == service.streams


async def test_queries_and_mutations_are_one_event(url: str, client: httpx2.AsyncClient, service: TinyService) -> None:
    """Over a stream like any operation, as `graphql-sse` asks."""
    for body, data in (
        ({"query": "{ __typename }"}, {"__typename": "Query"}),
        (
            {"query": IMPROVE, "variables": {"input": {"pngBase64": "a"}}},
            {
                "improveSketch": {
                    "result": {"imageBase64": "a", "title": "A cat"},
                    "errors": [],
                    "clientMutationId": None,
                }
            },
        ),
    ):
        response = await client.post(url, json=body)
        assert f":\n\nevent: next\ndata: {_json({'data': data})}\n\nevent: complete\ndata:\n\n" == response.text
    assert 1 == len(service.inputs)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


async def test_a_picture_is_not_copied_into_its_event() -> None:
    """It is encoded when it is sent: joined, each client that does not read would hold a copy."""

    async def bodies() -> AsyncGenerator[Pieces]:
        yield (b'{"imageBase64":"', picture, b'"}')

    picture = memoryview(b"A" * 1000)
    event = await EventStream(bodies(), {})._next_event(refused)
    assert event
    assert (b"event: next\ndata: {", True, b"\n\n") == (event[0][:19], event[1] is picture, event[-1][-2:])


async def refused(_: Message) -> None:
    pytest.fail("nothing is sent yet")


async def test_a_picture_arrives_in_its_event_as_in_an_answer() -> None:
    """As base64, though it is cut twice on its way."""
    picture, sent = bytes(range(256)) * 4_000, []

    async def bodies() -> AsyncGenerator[Pieces]:
        yield pieces({"image": picture})

    async def send(message: Message) -> None:
        sent.append(message.get("body", b""))

    await EventStream(bodies(), {})({"type": "http"}, asyncio.Future, send)
    [event] = re.findall(rb"^event: next\ndata: (.*)$", b"".join(sent), re.MULTILINE)
    assert picture == base64.b64decode(json.loads(event)["image"], validate=True)
    assert PIECE_BYTES == max(map(len, sent))


async def test_a_stream_opens_no_back_door(url: str, client: httpx2.AsyncClient, service: TinyService) -> None:
    """No mutation by GET, no large body, no other type, no other path: refused before GraphQL, as ever."""
    by_get = {"query": IMPROVE, "variables": '{"input": {"pngBase64": "a"}}'}
    refused = [
        await client.get(url, params=by_get),
        await service.post(b" " * (12 * 1024 * 1024 + 1), accept=STREAM),
        await client.post(url, content=b"{}", headers={"content-type": "text/plain"}),
        await client.post(f"{url}/stream", json=SUBSCRIBE),
        await client.post(url, content=b"{", headers={"content-type": "application/json"}),
    ]
    assert [405, 413, 415, 404, 400] == [response.status_code for response in refused]
    assert ([], 0) == (service.inputs, service.streams)


@pytest.mark.parametrize("accept", ["application/json", "*/*", "application/json, text/event-stream;q=0.5"])
async def test_a_subscription_is_answered_as_a_stream_only(
    url: str, client: httpx2.AsyncClient, service: TinyService, accept: str
) -> None:
    """Where JSON is preferred it says so, and begins nothing."""
    response = await client.post(url, json=SUBSCRIBE, headers={"accept": accept})
    assert 200 == response.status_code
    assert ["Subscriptions are answered only as text/event-stream: ask for it in the Accept header."] == messages(
        response
    )
    assert 0 == service.streams


async def test_the_header_chooses_by_quality(url: str, client: httpx2.AsyncClient) -> None:
    """As the sketch pad sends it."""
    accept = "text/event-stream, application/json;q=0.1"
    response = await client.post(url, json=SUBSCRIBE, headers={"accept": accept})
    assert response.headers["content-type"].startswith(STREAM)


async def test_an_error_of_the_source_is_the_last_event(url: str, service: TinyService) -> None:
    """With its code if it has one, else masked and logged; then the stream is complete."""

    async def unavailable() -> AsyncGenerator[dict[str, Any]]:
        yield {"status": "running"}
        raise GraphQLError("Redis is away.", extensions={"code": "UNAVAILABLE", "trace": "t"})

    async def crashing() -> AsyncGenerator[dict[str, Any]]:
        yield {"status": "running"}
        raise RuntimeError(CANARY)

    service.tell = unavailable
    text = await told(url)
    assert b'"message":"Redis is away.","extensions":{"code":"UNAVAILABLE","trace":"t"}' in text
    assert (1, []) == (text.count(b"event: complete"), service.faults)

    service.tell = crashing
    text = await told(url)
    assert b'"extensions":{"code":"INTERNAL","trace":"trace-1"}' in text
    assert (1, False) == (text.count(b"event: complete"), CANARY.encode() in text)
    assert [repr(RuntimeError(CANARY))] == service.faults


async def test_a_stop_ends_the_stream_without_completing_it(url: str, service: TinyService) -> None:
    """So that a client of `graphql-sse` comes again; the answer itself ends in order."""

    async def stopping() -> AsyncGenerator[dict[str, Any]]:
        yield {"status": "running"}
        raise Stopping

    service.tell = stopping
    text = await told(url)
    assert (1, 0) == (text.count(b"event: next"), text.count(b"event: complete"))
    assert ([], 0) == (service.faults, service.streams)


async def test_a_silent_stream_is_kept_open_by_comments(
    url: str, service: TinyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ping every 12 s, here sooner, and the states in between unharmed."""
    assert 12.0 == sse.PING_S
    monkeypatch.setattr(sse, "PING_S", 0.05)
    service.tell = never_done
    async with reading(url, SUBSCRIBE) as reader, asyncio.timeout(WAIT_S):
        for expected in (b"\n:\n\n", b"running", b"\n:\n\n", b"\n:\n\n"):
            assert await reader.readuntil(expected)


@pytest.mark.parametrize("first", [b"\r\n\r\n", b"running"])
async def test_a_client_who_vanishes_frees_its_stream(url: str, service: TinyService, first: bytes) -> None:
    """Whether it has seen a state or not."""
    service.tell = never_done
    async with reading(url, SUBSCRIBE) as reader:
        await reader.readuntil(first)
    await until_streams(service, 0)


async def test_a_client_who_asks_for_more_and_vanishes_frees_its_stream(url: str, service: TinyService) -> None:
    """The request behind the stream has not begun, and has nobody to tell."""
    service.tell = never_done
    async with reading(url, SUBSCRIBE, behind=b"GET / HTTP/1.1\r\nhost: a\r\n\r\n") as reader:
        await reader.readuntil(b"running")
    await until_streams(service, 0)


async def test_a_client_who_vanishes_before_the_first_byte_frees_its_stream(url: str, service: TinyService) -> None:
    """Nothing is held for those who have gone before they were answered."""

    async def nothing_yet() -> AsyncGenerator[dict[str, Any]]:
        await asyncio.Event().wait()
        yield {}

    service.tell = nothing_yet
    for _ in range(20):
        async with reading(url, SUBSCRIBE):
            pass
    async with reading(url, SUBSCRIBE) as reader:  # taken on after the others
        await reader.readuntil(b":\n\n")
        await until_streams(service, 1)
    await until_streams(service, 0)


async def test_a_reader_who_does_not_read_is_let_go(
    url: str, service: TinyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some seconds, here sooner; meanwhile others are told as ever."""
    monkeypatch.setattr(sse, "PIECE_S", 0.2)

    async def endless() -> AsyncGenerator[dict[str, Any]]:
        while True:
            yield {"status": "running", "error": "x" * 100_000}

    service.tell = endless
    query = "subscription { improveSketchStatus(requestId: 1) { status error } }".replace("1", '"a"')
    async with reading(url, {"query": query}, limit=1024):
        await until_streams(service, 1)
        begun = set(service.connections)
        service.tell = never_done
        async with reading(url, SUBSCRIBE) as other, asyncio.timeout(WAIT_S):
            await other.readuntil(b"running")
            await until_streams(service, 1)
            while begun & service.connections:
                await asyncio.sleep(POLL_S)
    await until_streams(service, 0)


async def test_nothing_of_a_request_outlives_its_stream(url: str, service: TinyService) -> None:
    """Complete, failed, broken off or stopped: the context is freed without the collector's help."""

    def failing(kind: type[Exception]) -> Tell:
        async def tell() -> AsyncGenerator[dict[str, Any]]:
            yield {"status": "running"}
            raise kind(CANARY)

        return tell

    gc.disable()
    try:
        await told(url)
        for kind in (Stopping, RuntimeError, GraphQLError):
            service.tell = failing(kind)
            await told(url)
        service.tell = never_done
        async with reading(url, SUBSCRIBE) as reader:
            await reader.readuntil(b"running")
        await until_streams(service, 0)
        async with asyncio.timeout(WAIT_S):
            while any(context() for context in service.contexts):
                await asyncio.sleep(POLL_S)
        assert 5 == len(service.contexts)
    finally:
        gc.enable()
