"""Brokers for a whole file of tests, names of its own for each test, and two receivers of pushes."""

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from tests.contract.pubsub.sides import WAIT_S, Broker, Receiver, running, running_googles

UNIQUE = itertools.count(1)
STAND_IN, GOOGLE = "stand-in", "Google"
SIDES = [STAND_IN, pytest.param(GOOGLE, marks=pytest.mark.google_pubsub)]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running() as url:
        yield url


@pytest.fixture(scope="module", params=SIDES)
def side(request: pytest.FixtureRequest) -> str:
    """Which of the two brokers a test is about."""
    return str(request.param)


@pytest.fixture(scope="module")
def address_of_side(side: str) -> Iterator[str]:
    with running() if side == STAND_IN else running_googles() as url:
        yield url


@pytest.fixture
async def broker(address: str) -> AsyncIterator[Broker]:
    """The stand-in."""
    async with _broker(address) as broker:
        yield broker
        await broker.client.delete("/faults")


@pytest.fixture
async def either(address_of_side: str, side: str) -> AsyncIterator[Broker]:
    """The stand-in, then Google's emulator."""
    async with _broker(address_of_side) as broker:
        if side == GOOGLE:  # with a policy it waits for seconds
            broker.retries = {}
        yield broker


@pytest.fixture
def shortest_ack_deadline_s(side: str) -> float:
    """The shortest time after which what is not acknowledged comes again."""
    return 0.1 if side == STAND_IN else 10


@asynccontextmanager
async def _broker(address: str) -> AsyncIterator[Broker]:
    number = next(UNIQUE)
    names = (f"{kind}/test-{number}{end}" for end in ("", "-dead") for kind in ("topics", "subscriptions"))
    async with httpx2.AsyncClient(base_url=address, trust_env=False, timeout=WAIT_S) as client:
        topic, subscription, dead_topic, dead_subscription = (f"projects/laptop/{name}" for name in names)
        yield Broker(client, topic, subscription, dead_topic, dead_subscription)
        await client.delete(f"/v1/{subscription}")


@pytest.fixture
async def receivers() -> AsyncIterator[list[Receiver]]:
    first, second = Receiver(), Receiver()
    async with first.listening(), second.listening():
        yield [first, second]


@pytest.fixture
def receiver(receivers: list[Receiver]) -> Receiver:
    return receivers[0]
