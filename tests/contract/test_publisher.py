"""The product's Publisher against the Pub/Sub stand-in: what arrives, what is retried, what is given up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rubydraw.errors import Misconfigured, Unavailable
from rubydraw.pubsub import Publisher

from tests.contract.accounts import TokenServer, account_file
from tests.contract.wire_proxy import WireProxy
from tests.servers import Server, free_port
from tests.stand_ins import PROJECT, TOPIC, PubsubStandIn

ATTRIBUTES = {"request_id": "1", "owner": "jemand – überall"}
DATA = b"\x00a sketch\xff\n"


@pytest.fixture
async def publisher(pubsub_stand_in: PubsubStandIn) -> AsyncIterator[Publisher]:
    publisher = Publisher(pubsub_stand_in.url, timeout_s=5)
    yield publisher
    await publisher.close()


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
    publisher: Publisher, pubsub_stand_in: PubsubStandIn, status: int
) -> None:
    """One attempt, and no word of Pub/Sub's."""
    await pubsub_stand_in.fail("refuse_publish", status=status)
    with pytest.raises(Misconfigured) as caught:
        await publisher.publish(TOPIC, DATA, ATTRIBUTES)
    assert (None, True) == (caught.value.__cause__, caught.value.__suppress_context__ or not caught.value.__context__)
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


async def test_overloaded_service_is_given_up_in_time(pubsub_stand_in: PubsubStandIn) -> None:
    """However often it refuses."""
    publisher = Publisher(pubsub_stand_in.url, timeout_s=0.5)
    await pubsub_stand_in.fail("refuse_publish", status=503, times=1000)
    began_s = time.monotonic()
    with pytest.raises(Unavailable):
        await publisher.publish(TOPIC, DATA, ATTRIBUTES)
    assert 0.4 < time.monotonic() - began_s < 10
    await publisher.close()
    assert [] == await pubsub_stand_in.pulled()


async def test_silent_service_is_given_up_in_time(wire: WireProxy) -> None:
    """A publish never hangs."""
    wire.silent = True
    publisher = Publisher(f"http://127.0.0.1:{wire.address}", timeout_s=0.3)
    with pytest.raises(Unavailable):
        await publisher.publish(TOPIC, DATA, ATTRIBUTES)
    await publisher.close()


async def test_service_that_does_not_run_is_unavailable() -> None:
    """Retried until the time is up."""
    publisher = Publisher(f"http://127.0.0.1:{free_port()}", timeout_s=0.3)
    with pytest.raises(Unavailable):
        await publisher.publish(TOPIC, DATA, ATTRIBUTES)
    await publisher.close()


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
    assert ["https://www.googleapis.com/auth/pubsub"] == token_server.scopes
    await publisher.close()


async def test_refused_token_is_the_operators_to_correct(token_server: TokenServer) -> None:
    """No word of the token server's is repeated."""
    token_server.refuses = True
    publisher = Publisher(f"https://127.0.0.1:{free_port()}", timeout_s=5)
    with pytest.raises(Misconfigured) as caught:
        await publisher.publish(TOPIC, DATA, {})
    assert "invalid_grant" not in str(caught.value)
    await publisher.close()


async def test_token_server_that_cannot_be_reached_may_be_back_soon(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing that is set is wrong."""
    account = account_file(tmp_path, f"http://127.0.0.1:{free_port()}/token")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
    publisher = Publisher(f"https://127.0.0.1:{free_port()}", timeout_s=30)
    with pytest.raises(Unavailable):
        await publisher.publish(TOPIC, DATA, {})
    await publisher.close()


async def test_absent_credentials_are_the_operators_to_correct(monkeypatch: pytest.MonkeyPatch) -> None:
    """No word of paths and accounts is repeated."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent/account.json")
    publisher = Publisher(f"https://127.0.0.1:{free_port()}", timeout_s=5)
    with pytest.raises(Misconfigured) as caught:
        await publisher.publish(TOPIC, DATA, {})
    assert "nonexistent" not in str(caught.value)
    await publisher.close()
