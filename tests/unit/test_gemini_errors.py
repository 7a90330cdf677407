"""Whatever Gemini, its SDK and the network between do, one of our errors comes out, and none of their words."""

from __future__ import annotations

import asyncio
import base64
import gzip
import inspect
import json
import socket
import traceback
import zlib
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

import google.auth.exceptions
import google.genai.errors
import httpx2
import pytest
from rubydraw.errors import Code, SketchError
from rubydraw.gemini import failures
from rubydraw.gemini.client import Gemini
from rubydraw.gemini.failures import QUICK_S
from rubydraw.gemini.transport import MAX_ERROR_BYTES
from rubydraw.settings import Settings
from rubydraw.sketch import Sketch

from tests.unit.pngs import png

CANARY = "c4n4ry-upstr34m"
IMAGE = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(png()).decode()}}


def exceptions(module: ModuleType) -> list[type[Exception]]:
    found = (kind for _, kind in inspect.getmembers(module, inspect.isclass))
    return [kind for kind in found if issubclass(kind, Exception) and not issubclass(kind, Warning)]


FOREIGN = [
    *exceptions(google.genai.errors),
    *exceptions(httpx2),
    *exceptions(google.auth.exceptions),
    *(TimeoutError, ConnectionResetError, OSError, json.JSONDecodeError, UnicodeDecodeError, ValueError),
    # What the SDK might stumble over, wherever in an answer.
    *(AttributeError, TypeError, KeyError, IndexError, RecursionError),
]


def made(kind: type[Exception]) -> Exception:
    """One exception of this class, whatever its constructor asks for."""
    if issubclass(kind, google.genai.errors.APIError):
        return kind(418, {"error": {"message": CANARY}})
    return kind.__new__(kind)


@pytest.mark.parametrize("kind", FOREIGN, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_foreign_class_is_mapped(kind: type[Exception]) -> None:
    """A new class in a new version fails here, and is decided upon."""
    assert isinstance(failures.as_our_error(made(kind), 1.0), SketchError)


@pytest.mark.parametrize(
    ("status", "took_s", "code", "billed"),
    [
        (400, 1, Code.BAD_INPUT, True),
        (401, 1, Code.MISCONFIGURED, False),
        (403, 1, Code.MISCONFIGURED, False),
        (404, 1, Code.MISCONFIGURED, False),
        (408, 1, Code.TIMEOUT, True),
        (429, 1, Code.PROVIDER_OVERLOADED, False),
        (429, 60, Code.PROVIDER_OVERLOADED, False),
        (499, 1, Code.PROVIDER_FAILED, True),
        (500, 1, Code.PROVIDER_FAILED, True),
        (502, 1, Code.PROVIDER_FAILED, True),
        (503, QUICK_S - 0.1, Code.PROVIDER_OVERLOADED, False),
        (503, QUICK_S, Code.PROVIDER_FAILED, True),
        (504, 1, Code.TIMEOUT, True),
    ],
)
def test_statuses_are_mapped_as_designed(status: int, took_s: float, code: Code, billed: bool) -> None:
    """Each documented status has its code, and says whether the call may have been paid for."""
    error = failures.as_our_error(google.genai.errors.APIError(status, {}), took_s)
    assert (code, billed) == (error.code, error.may_be_billed)


@pytest.mark.parametrize(
    ("kind", "code", "billed"),
    [
        (TimeoutError, Code.TIMEOUT, True),
        (httpx2.ReadTimeout, Code.TIMEOUT, True),
        (httpx2.ReadError, Code.PROVIDER_FAILED, True),
        (httpx2.ConnectError, Code.PROVIDER_FAILED, False),
        (httpx2.ConnectTimeout, Code.PROVIDER_FAILED, False),
        (httpx2.PoolTimeout, Code.PROVIDER_FAILED, False),
        (google.auth.exceptions.RefreshError, Code.MISCONFIGURED, False),
        (google.auth.exceptions.TransportError, Code.PROVIDER_FAILED, False),
        (json.JSONDecodeError, Code.BAD_ANSWER, True),
    ],
)
def test_what_was_never_sent_is_not_billed(kind: type[Exception], code: Code, billed: bool) -> None:
    """A connection that was not made costs nothing; one that broke may have."""
    error = failures.as_our_error(made(kind), 1.0)
    assert (code, billed) == (error.code, error.may_be_billed)


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        ({"error": {"details": [{"@type": "…RetryInfo", "retryDelay": "12s"}]}}, {}, 12),
        ([{"error": {"details": [{"retryDelay": "1.5s"}]}}], {}, 1.5),
        ({"details": [{}, {"retryDelay": "3s"}]}, {}, 3),
        ({}, {"retry-after": "7"}, 7),
        ({"error": {"details": [{"retryDelay": "soon"}]}}, {"retry-after": "7"}, 7),
        ({"error": {"details": [{"retryDelay": "2s"}]}}, {"retry-after": "7"}, 2),
        ({"error": {"details": [{"retryDelay": "-5s"}]}}, {}, 0),
        ({"error": {"details": [{"retryDelay": "1e400s"}]}}, {}, 3600),
        ({"error": {"details": [{"retryDelay": "NaN"}]}}, {}, 0),
        ({"error": {"details": [{"retryDelay": 5}, "x", None]}}, {}, None),
        ({"error": {"details": {"retryDelay": "5s"}}}, {}, None),
        ({"error": "busy"}, {}, None),
        ("busy", {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
    ],
)
def test_the_delay_that_gemini_names_is_kept(body: Any, headers: dict[str, str], expected: float | None) -> None:
    """From its body, else from the header, at most an hour; anything unreadable names no delay."""
    error = google.genai.errors.APIError(429, body, httpx2.Response(429, headers=headers))
    assert expected == failures.as_our_error(error, 1.0).retry_after_s


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": {"status": "FAILED_PRECONDITION"}}, Code.MISCONFIGURED),
        ({"error": {"details": [{"reason": "API_KEY_INVALID"}]}}, Code.MISCONFIGURED),
        ({"error": {"status": "INVALID_ARGUMENT"}}, Code.BAD_INPUT),
        ({"error": {"details": [{"reason": ["API_KEY_INVALID"]}, {"reason": {}}]}}, Code.BAD_INPUT),
    ],
)
def test_a_400_about_our_setup_is_not_the_sketch_s_fault(body: Any, code: Code) -> None:
    """A bad key or an account that is not set up must not be remembered as a refusal of the sketch."""
    assert code == failures.as_our_error(google.genai.errors.APIError(400, body), 1.0).code


class Upstream:
    """A server on 127.0.0.1 that answers every call with the same bytes."""

    def __init__(self) -> None:
        self.status, self.body, self.headers, self.url, self.calls, self.head = 200, b"{}", "", "", 0, b""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(self.head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        self.calls += 1
        head = f"HTTP/1.1 {self.status} {CANARY}\r\ncontent-length: {len(self.body)}\r\nconnection: close\r\n"
        writer.write(f"{head}{self.headers}\r\n".encode() + self.body)
        await writer.drain()
        writer.close()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    async with await asyncio.start_server(upstream.answer, "127.0.0.1", 0) as server:
        upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield upstream


@pytest.fixture
async def client(upstream: Upstream) -> AsyncIterator[Gemini]:
    env = {"REDIS_URL": "redis://x", "GEMINI_API_KEY": "k3y-c4n4ry", "GEMINI_BASE_URL": upstream.url}
    client = Gemini(Settings.from_env(env))
    yield client
    await client.close()


async def failure(client: Gemini, *, timeout_s: float = 10) -> SketchError:
    sketch = Sketch.from_png(png(), "", "", 0, max_png_bytes=100_000)
    with pytest.raises(SketchError) as failed:
        await client.draw(sketch, timeout_s=timeout_s, now_ms=0)
    return failed.value


def answers() -> Iterator[tuple[int, bytes, str]]:
    told = {"error": {"message": CANARY, "status": CANARY, "details": [{"reason": CANARY, "retryDelay": CANARY}]}}
    for status in (302, 400, 401, 403, 404, 408, 418, 429, 499, 500, 503, 504):
        yield status, json.dumps(told).encode(), ""
        yield status, f"<html>{CANARY}</html>".encode(), ""
    yield 500, b"\xff" + CANARY.encode(), ""
    yield 200, f"<html>{CANARY}</html>".encode(), "BAD_ANSWER"
    yield 200, b'{"candidates": ["' + CANARY.encode(), "BAD_ANSWER"
    yield 200, b"[" * 100_000, "BAD_ANSWER"
    content = {"parts": [IMAGE]}
    for answer, code in (
        (CANARY, "BAD_ANSWER"),
        ({"candidates": CANARY}, "BAD_ANSWER"),
        ({"candidates": [CANARY]}, "BAD_ANSWER"),
        ({"candidates": [{"content": {"parts": [{"text": CANARY}]}}]}, "NO_IMAGE"),
        ({"candidates": 5}, "BAD_ANSWER"),
        ({"candidates": [{"finishReason": {CANARY: 1}, "content": content}]}, "BAD_ANSWER"),
        ({"candidates": [{"content": CANARY}]}, "BAD_ANSWER"),
        ({"candidates": [{"content": {"parts": CANARY}}]}, "BAD_ANSWER"),
        ({"candidates": [{"content": {"parts": [{"inlineData": {"data": f"!{CANARY}!"}}]}}]}, "BAD_ANSWER"),
        ({"promptFeedback": CANARY}, "BAD_ANSWER"),
    ):
        yield 200, json.dumps(answer).encode(), code


@pytest.mark.parametrize(("status", "body", "code"), list(answers()))
async def test_no_word_of_an_answer_gets_into_our_error(
    upstream: Upstream, client: Gemini, status: int, body: bytes, code: str
) -> None:
    """Neither its message nor its traceback repeats what came from there, nor the key."""
    upstream.status, upstream.body = status, body
    error = await failure(client)
    told = "".join(traceback.format_exception(error)) + repr(error) + error.message
    assert "c4n4ry" not in told
    assert error.code.sentence == error.message
    assert code in ("", error.code)


RETRY_INFO = b'{"error": {"details": [{"retryDelay": "9s"}]}}'
ODD_BODIES = [
    (b"<p>\xfcberlastet</p>", "content-type: text/html; charset=iso-8859-1\r\n"),
    (b"", ""),
    (b'{"error": ', ""),
    (b"[" * 20_000 + b"]" * 20_000, ""),
    (b"[" * 500 + b"]" * 500, ""),
    (b'{"error": {"status": "\\ud800"}}', ""),
    (b'{"a": "' + b"a" * MAX_ERROR_BYTES + b'"}', ""),
    (b"no gzip", "content-encoding: gzip\r\n"),
    (gzip.compress(RETRY_INFO), "content-encoding: gzip\r\n"),
    *((body, "content-type: application/json; charset=utf-32\r\n") for body in (b"5", b"[]", b'{"error": [null]}')),
]


@pytest.mark.parametrize(
    ("status", "code", "billed", "retry_after_s"),
    [
        (400, Code.BAD_INPUT, True, None),
        (401, Code.MISCONFIGURED, False, None),
        (404, Code.MISCONFIGURED, False, None),
        (429, Code.PROVIDER_OVERLOADED, False, 7),
        (500, Code.PROVIDER_FAILED, True, None),
        (504, Code.TIMEOUT, True, None),
    ],
)
async def test_the_status_counts_whatever_the_body(
    upstream: Upstream, client: Gemini, status: int, code: Code, billed: bool, retry_after_s: float | None
) -> None:
    """A proxy's page, broken or deep JSON, compressed though that was not asked for: nothing of it is read."""
    upstream.status = status
    for upstream.body, headers in ODD_BODIES:
        upstream.headers = f"Retry-After: 7\r\n{headers}"
        error = await failure(client)
        assert (code, billed, retry_after_s) == (error.code, error.may_be_billed, error.retry_after_s)


@pytest.mark.parametrize("size_bytes", [0, MAX_ERROR_BYTES])
async def test_what_an_error_says_of_itself_is_read(upstream: Upstream, client: Gemini, size_bytes: int) -> None:
    """When to come back, and that a key is bad, up to 64 KiB."""
    upstream.status, upstream.headers, upstream.body = 429, "retry-after: 7\r\n", RETRY_INFO.ljust(size_bytes)
    assert (await failure(client)).retry_after_s == 9
    upstream.status = 400
    upstream.body = b'{"error": {"details": [{"reason": "API_KEY_INVALID"}]}}'.ljust(size_bytes)
    assert (await failure(client)).code == Code.MISCONFIGURED


async def test_an_error_is_not_unpacked(upstream: Upstream, client: Gemini, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of a megabyte would become gigabytes, on the loop."""
    monkeypatch.setattr(zlib, "decompressobj", lambda *_: pytest.fail("unpacked"))
    upstream.status, upstream.headers, upstream.body = 429, "content-encoding: gzip\r\n", gzip.compress(RETRY_INFO)
    assert (await failure(client)).code == Code.PROVIDER_OVERLOADED


async def test_an_answer_that_asks_to_be_continued_is_one_call(upstream: Upstream, client: Gemini) -> None:
    """The SDK would go on asking by itself, and nobody would have paid for that in advance."""
    candidate = {"finishReason": "CONTINUATION", "continuationToken": "dG9rZW4="}
    upstream.body = json.dumps({"candidates": [candidate]}).encode()
    assert (await failure(client)).code == Code.NO_IMAGE
    assert upstream.calls == 1


async def test_an_answer_is_not_to_be_compressed(upstream: Upstream, client: Gemini) -> None:
    """It is read as it comes; a request that does not say so leaves the choice to the server (RFC 9110, 12.5.3)."""
    await failure(client)
    assert b"\r\naccept-encoding: identity\r\n" in upstream.head


async def test_a_sketch_that_has_not_left_in_time_costs_nothing() -> None:
    """The connection is not ready before all time is up: here a server that does not answer the TLS handshake."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        env = {"REDIS_URL": "redis://x", "GEMINI_API_KEY": "k", "GEMINI_BASE_URL": f"https://127.0.0.1:{port}"}
        client = Gemini(Settings.from_env(env))
        error = await failure(client, timeout_s=0.2)
        assert (error.code, error.may_be_billed) == (Code.PROVIDER_FAILED, False)
        await client.close()


async def test_a_server_that_is_not_there_costs_nothing() -> None:
    """Nothing was sent, so nothing was billed."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    env = {"REDIS_URL": "redis://x", "GEMINI_API_KEY": "k", "GEMINI_BASE_URL": f"http://127.0.0.1:{port}"}
    client = Gemini(Settings.from_env(env))
    error = await failure(client)
    assert (error.code, error.may_be_billed) == (Code.PROVIDER_FAILED, False)
    await client.close()
