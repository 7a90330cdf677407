"""A broker for a whole file of tests, names of its own for each test, and two receivers of pushes."""

import itertools
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest

from tests.contract.pubsub.sides import WAIT_S, Broker, Receiver, running

UNIQUE = itertools.count(1)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running() as url:
        yield url


@pytest.fixture
async def broker(address: str) -> AsyncIterator[Broker]:
    number = next(UNIQUE)
    names = (f"{kind}/test-{number}{end}" for end in ("", "-dead") for kind in ("topics", "subscriptions"))
    async with httpx2.AsyncClient(base_url=address, trust_env=False, timeout=WAIT_S) as client:
        topic, subscription, dead_topic, dead_subscription = (f"projects/laptop/{name}" for name in names)
        yield Broker(client, topic, subscription, dead_topic, dead_subscription)
        await client.delete("/faults")
        await client.delete(f"/v1/{subscription}")


@pytest.fixture
async def receivers() -> AsyncIterator[list[Receiver]]:
    first, second = Receiver(), Receiver()
    async with first.listening(), second.listening():
        yield [first, second]


@pytest.fixture
def receiver(receivers: list[Receiver]) -> Receiver:
    return receivers[0]
