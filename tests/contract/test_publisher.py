"""The product's Publisher against the Pub/Sub stand-in: what arrives, what is retried, what is given up."""

from __future__ import annotations

import asyncio
import io
import logging
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from itertools import repeat
from pathlib import Path
from typing import Any

import orjson
import pytest
from rubydraw import logs, pubsub
from rubydraw.authorization import Authorization
from rubydraw.errors import Misconfigured, Unavailable
from rubydraw.pubsub import Publisher

from tests.contract.accounts import BAD_GRANTS, TokenServer, account_file
from tests.contract.wire_proxy import WireProxy
from tests.servers import Server, free_port
from tests.stand_ins import PROJECT, TOPIC, PubsubStandIn

ATTRIBUTES = {"request_id": "1", "owner": "jemand – überall"}
DATA = b"\x00a sketch\xff\n"

Told = Callable[[], list[tuple[Any, ...]]]


@pytest.fixture
async def publisher(pubsub_stand_in: PubsubStandIn) -> AsyncIterator[Publisher]:
    publisher = Publisher(pubsub_stand_in.url, timeout_s=5)
    yield publisher
    await publisher.close()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Return severity, event and kind of each line that was logged."""
    out = io.StringIO()
    monkeypatch.setattr(logs, "_out", out)
    monkeypatch.setattr(logs, "_least", logging.INFO)

    def read() -> list[tuple[Any, ...]]:
        lines = map(orjson.loads, out.getvalue().splitlines())
        return [(line["severity"], line["message"], line["kind"]) for line in lines]

    return read


@pytest.fixture
async def wire(pubsub_stand_in: PubsubStandIn, pubsub_server: Server) -> AsyncIterator[WireProxy]:
    proxy = WireProxy(pubsub_server.port)
    async with proxy.listening():
        yield proxy


async def test_message_arrives_as_it_was_sent(publisher: Publisher, pubsub_stand_in: PubsubStandIn) -> None:
    """Once, with data and attributes."""
    await publisher.publish(TOPIC, DATA, ATTRIBUTES)
    assert [(DATA, ATTRIBUTES)] == await pubsub_stand_in.pulled()


async def test_largest_job_is_taken(publisher: Publisher, pubsub_stand_in: PubsubStandIn) -> None:
    """5 MiB of picture and 256 KiB of SVG, as base64 below the 10 MB that Pub/Sub takes."""
    largest = bytes(5 * 1024 * 1024 + 256 * 1024 + 8192)
    await publisher.publish(TOPIC, largest, ATTRIBUTES)
    assert [(largest, ATTRIBUTES)] == await pubsub_stand_in.pulled()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_retried(publisher: Publisher, pubsub_stand_in: PubsubStandIn, status: int) -> None:
    """Twice in vain, then taken, once."""
    await pubsub_stand_in.fail("refuse_publish", status=status, times=2)
    await publisher.publish(TOPIC, DATA, ATTRIBUTES)
    assert [(DATA, ATTRIBUTES)] == await pubsub_stand_in.pulled()


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_what_cannot_pass_is_the_operators_to_correct(
    publisher: Publisher, pubsub_stand_in: PubsubStandIn, told: Told, status: int
) -> None:
    """One attempt, one line with its status, and no word of Pub/Sub's."""
    await pubsub_stand_in.fail("refuse_publish", status=status)
    with pytest.raises(Misconfigured) as caught:
        await publisher.publish(TOPIC, DATA, ATTRIBUTES)
    assert (None, True) == (caught.value.__cause__, caught.value.__suppress_context__ or not caught.value.__context__)
    assert [("ERROR", "publish.refused", status)] == told()
    assert [] == await pubsub_stand_in.pulled()


async def test_topic_that_is_not_there_is_the_operators_to_correct(publisher: Publisher) -> None:
    """Terraform makes it, not the first publish."""
    with pytest.raises(Misconfigured):
        await publisher.publish(f"{PROJECT}/topics/unheard-of", DATA, ATTRIBUTES)


async def test_lost_answer_is_retried_and_may_leave_two_messages(
    publisher: Publisher, pubsub_stand_in: PubsubStandIn
) -> None:
    """At least once: workers know the job by its request id."""
    await pubsub_stand_in.fail("lose_answer")
    await publisher.publish(TOPIC, DATA, ATTRIBUTES)
    assert [(DATA, ATTRIBUTES)] * 2 == await pubsub_stand_in.pulled()


async def test_overloaded_service_is_given_up_in_time(pubsub_stand_in: PubsubStandIn, told: Told) -> None:
    """However often it refuses, and with one line."""
    publisher = Publisher(pubsub_stand_in.url, timeout_s=0.5)
    await pubsub_stand_in.fail("refuse_publish", status=503, times=1000)
    began_s = time.monotonic()
    with pytest.raises(Unavailable):
        await publisher.publish(TOPIC, DATA, ATTRIBUTES)
    assert 0.4 < time.monotonic() - began_s < 10
    assert [("WARNING", "publish.failed")] == [line[:2] for line in told()]
    await publisher.close()
    assert [] == await pubsub_stand_in.pulled()


async def test_silent_service_is_given_up_in_time(wire: WireProxy, told: Told) -> None:
    """A publish never hangs, and the operator is told."""
    wire.silent = True
    publisher = Publisher(f"http://127.0.0.1:{wire.address}", timeout_s=0.3)
    with pytest.raises(Unavailable):
        await publisher.publish(TOPIC, DATA, ATTRIBUTES)
    assert [("WARNING", "publish.failed", "TimeoutError")] == told()
    await publisher.close()


async def test_a_message_that_waits_is_held_once(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the body that is sent: not as base64 and as bytes besides, for as long as Pub/Sub is silent."""
    large, held = 1_000_000, list[int]()

    async def waits(*_: object) -> None:
        held.extend(trace.size for trace in tracemalloc.take_snapshot().traces if trace.size > large // 2)

    monkeypatch.setattr(publisher, "_until_taken", waits)
    tracemalloc.start()
    try:
        await publisher.publish(TOPIC, bytes(large), ATTRIBUTES)
    finally:
        tracemalloc.stop()
    assert 1 == len(held), held


async def test_service_that_does_not_run_is_unavailable(told: Told) -> None:
    """Retried until the time is up; the line names what befell the connection."""
    publisher = Publisher(f"http://127.0.0.1:{free_port()}", timeout_s=2)
    with pytest.raises(Unavailable):
        await publisher.publish(TOPIC, DATA, ATTRIBUTES)
    assert [("WARNING", "publish.failed", "ConnectError")] == told()
    await publisher.close()


@asynccontextmanager
async def saying(bodies: Iterable[bytes]) -> AsyncIterator[str]:
    """Yield the address of a server that answers 200 to each request, with one of `bodies` after the other."""
    rest = iter(bodies)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(head.lower().split(b"content-length:")[1].split()[0]))
                body = next(rest)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def test_success_without_a_message_id_is_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a proxy, or of a page that answers everything: the message is sent until Pub/Sub says that it has it."""
    monkeypatch.setattr(pubsub, "FIRST_PAUSE_S", 0.0)
    said = [
        *(b"", b"<html>Welcome</html>", b"{}", b"[" * 4000, b'["messageIds"]', b'{"messageIds": []}', b"\xff"),
        *(b'{"messageIds": [null]}', b'{"messageIds": "1"}', b'{"messageIds": ["1"], "more": "%s"}' % bytes(5000)),
        *(b'{"messageIds": ["1"]}', b"one more"),
    ]
    rest = iter(said)
    async with saying(rest) as url:
        publisher = Publisher(url, timeout_s=30)
        await publisher.publish(TOPIC, DATA, ATTRIBUTES)
        await publisher.close()
    assert [b"one more"] == [*rest]


async def test_service_that_is_another_is_unavailable(told: Told) -> None:
    """However often it is asked; the line says what was missing."""
    async with saying(repeat(b"<html>Welcome</html>")) as url:
        publisher = Publisher(url, timeout_s=2)
        with pytest.raises(Unavailable):
            await publisher.publish(TOPIC, DATA, ATTRIBUTES)
        await publisher.close()
    assert [("WARNING", "publish.failed", "NoMessageId")] == told()


async def test_broken_connections_are_replaced(wire: WireProxy, pubsub_stand_in: PubsubStandIn) -> None:
    """One that dies in mid-request, and one that died while nobody used it."""
    publisher = Publisher(f"http://127.0.0.1:{wire.address}", timeout_s=5)
    wire.drop = 1
    await publisher.publish(TOPIC, b"1", {})
    wire.hang_up()
    await publisher.publish(TOPIC, b"2", {})
    await publisher.close()
    assert [b"1", b"2"] == [data for data, _ in await pubsub_stand_in.pulled()]


async def test_hundred_messages_at_once_all_arrive(publisher: Publisher, pubsub_stand_in: PubsubStandIn) -> None:
    """Each once."""
    names = {str(number).encode() for number in range(100)}
    await asyncio.gather(*(publisher.publish(TOPIC, name, {}) for name in names))
    pulled = [data for data, _ in await pubsub_stand_in.pulled()]
    assert (100, names) == (len(pulled), set(pulled))


async def test_https_address_is_published_to_with_one_token(token_server: TokenServer) -> None:
    """Five messages at once share it, retries too; it allows Pub/Sub and nothing else."""
    publisher = Publisher(f"https://127.0.0.1:{free_port()}", timeout_s=2)
    answers = await asyncio.gather(*(publisher.publish(TOPIC, DATA, {}) for _ in range(5)), return_exceptions=True)
    assert [Unavailable] * 5 == [type(answer) for answer in answers]  # nobody listens there
    await token_server.asked.wait()  # a slow machine's five may have given up before
    assert ["https://www.googleapis.com/auth/pubsub"] == token_server.scopes
    await publisher.close()


async def test_hanging_token_server_is_asked_once(token_server: TokenServer) -> None:
    """Whoever gives up leaves one thread behind, and the next one waits for that: there are few."""
    token_server.answering.clear()
    authorization = Authorization(f"https://127.0.0.1:{free_port()}")
    first, second, third = (asyncio.create_task(authorization.headers()) for _ in range(3))
    await token_server.asked.wait()
    for each in (first, second):
        each.cancel()
        await asyncio.wait([each])
    token_server.answering.set()
    assert {"authorization": "Bearer a-token"} == await third
    assert 1 == len(token_server.scopes)


async def test_hanging_token_server_is_given_up_in_time(token_server: TokenServer, told: Told) -> None:
    """A publish never hangs, and the operator is told that it had no token."""
    token_server.answering.clear()
    publisher = Publisher(f"https://127.0.0.1:{free_port()}", timeout_s=0.3)
    with pytest.raises(Unavailable):
        await publisher.publish(TOPIC, DATA, {})
    assert [("WARNING", "publish.failed", "credentials")] == told()
    await publisher.close()


async def test_refused_token_is_the_operators_to_correct(token_server: TokenServer, told: Told) -> None:
    """No word of the token server's is repeated."""
    token_server.refuses = True
    publisher = Publisher(f"https://127.0.0.1:{free_port()}", timeout_s=5)
    with pytest.raises(Misconfigured) as caught:
        await publisher.publish(TOPIC, DATA, {})
    assert "invalid_grant" not in str(caught.value)
    assert [("ERROR", "publish.refused", "credentials")] == told()
    await publisher.close()


@pytest.mark.parametrize("granted", BAD_GRANTS)
async def test_grant_without_a_token_is_the_operators_to_correct(
    token_server: TokenServer, granted: dict[str, object]
) -> None:
    """`Bearer None` is sent to nobody; the next one asks again."""
    good, token_server.granted = token_server.granted, granted
    authorization = Authorization(f"https://127.0.0.1:{free_port()}")
    with pytest.raises(Misconfigured):
        await authorization.headers()
    token_server.granted = good
    assert {"authorization": "Bearer a-token"} == await authorization.headers()


async def test_token_server_that_cannot_be_reached_may_be_back_soon(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: Told
) -> None:
    """Nothing that is set is wrong."""
    account = account_file(tmp_path, f"http://127.0.0.1:{free_port()}/token")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
    publisher = Publisher(f"https://127.0.0.1:{free_port()}", timeout_s=30)
    with pytest.raises(Unavailable):
        await publisher.publish(TOPIC, DATA, {})
    assert [("WARNING", "publish.failed", "credentials")] == told()
    await publisher.close()


async def test_absent_credentials_are_the_operators_to_correct(monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
    """No word of paths and accounts is repeated."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent/account.json")
    publisher = Publisher(f"https://127.0.0.1:{free_port()}", timeout_s=5)
    with pytest.raises(Misconfigured) as caught:
        await publisher.publish(TOPIC, DATA, {})
    assert "nonexistent" not in str(caught.value)
    assert [("ERROR", "publish.refused", "credentials")] == told()
    await publisher.close()
