"""A flood of attempts over two instances, and kills in the midst of it: no more calls than the budget has."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager

import httpx2
import pytest
import redis.asyncio
from rubydraw import keys

from tests import servers
from tests.functions.sketch_service import SketchService
from tests.servers import Server
from tests.stand_ins import GeminiStandIn

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

CALLS, KILLS = 100, 3
ATTEMPTS = int(os.environ.get("BUDGET_ATTEMPTS", "600"))
"""Ten thousand take minutes: docs/security.md has what they gave."""
KEPT = 255
"""The shade of the sketch whose drawing is there before."""

Instance = contextmanager(servers.a_function)


@pytest.fixture
def settings(environment: dict[str, str]) -> dict[str, str]:
    unlimited = dict.fromkeys(("REQUESTS_PER_MINUTE", "PRINCIPAL_DAILY_CALLS", "DAILY_DOLLARS"), "unlimited")
    times = {"SYNC_DEADLINE_S": "300", "GEMINI_TIMEOUT_S": "120", "LOG_LEVEL": "ERROR"}
    # Without an allowance: on a busy machine Redis may seem to be away, and what is under test is the budget.
    ceilings = {"DAILY_CALLS": str(CALLS), "LOCAL_ALLOWANCE_PER_MINUTE": "0"}
    return environment | unlimited | times | ceilings | {"ACCESS": "off"}


@pytest.fixture
def instances(settings: dict[str, str]) -> Iterator[list[Server]]:
    with Instance("graphql", settings) as one, Instance("graphql", settings) as other:
        yield [one, other]


@pytest.fixture
async def many() -> AsyncIterator[httpx2.AsyncClient]:
    async with a_client(most=500) as client:
        yield client


def a_client(most: int) -> httpx2.AsyncClient:
    """One that uses no connection twice: a server closes those idle for 2 s, and one may be so behind a slow answer."""
    limits = httpx2.Limits(max_connections=most, max_keepalive_connections=0)
    return httpx2.AsyncClient(trust_env=False, timeout=600, limits=limits)


async def attempt(client: httpx2.AsyncClient, instances: list[Server], number: int) -> str:
    """Ask for a drawing that nobody has; answer its outcome or the code of its problem."""
    try:
        payload = await SketchService(client, instances[number % 2].url).improve(hints=f"{number}")
    except httpx2.TransportError:
        return "CUT"
    return str(payload["problem"]["code"] if payload["problem"] else payload["result"]["provenance"]["cache"])


async def ask_for_what_is_kept(client: httpx2.AsyncClient, instances: list[Server], told: Counter[str]) -> None:
    """Ask again and again for a drawing that is kept, until cancelled."""
    while True:
        for server in instances:
            try:
                payload = await SketchService(client, server.url).improve(KEPT)
            except httpx2.TransportError:
                told["CUT"] += 1
            else:
                told[payload["result"]["provenance"]["cache"] if payload["result"] else "REFUSED"] += 1
            await asyncio.sleep(servers.POLL_S)


async def test_a_flood_makes_no_more_calls_than_the_budget_has(
    instances: list[Server], many: httpx2.AsyncClient, gemini_stand_in: GeminiStandIn, raw: redis.asyncio.Redis
) -> None:
    """All of them at once; hits are served throughout, and the next day opens anew."""
    assert "MISS" == (await SketchService(many, instances[0].url).improve(KEPT))["result"]["provenance"]["cache"]
    kept: Counter[str] = Counter()
    async with a_client(most=1) as reader:
        reading = asyncio.create_task(ask_for_what_is_kept(reader, instances, kept))
        outcomes = Counter(await asyncio.gather(*(attempt(many, instances, n) for n in range(ATTEMPTS))))
        reading.cancel()
    print(ATTEMPTS, dict(outcomes), "kept:", dict(kept), "calls:", await gemini_stand_in.calls())
    assert CALLS == await gemini_stand_in.calls()
    assert (CALLS - 1, ATTEMPTS) == (outcomes["MISS"], outcomes.total())
    assert {"MISS", "BUDGET_EXCEEDED", "UNAVAILABLE"} >= set(outcomes)
    assert {"HIT"} == set(kept)
    await raw.hincrby(keys.BUDGET, "day", -1)
    assert "MISS" == await attempt(many, instances, ATTEMPTS)
    assert CALLS + 1 == await gemini_stand_in.calls()


async def test_kills_in_between_make_no_more_calls_possible(
    settings: dict[str, str], many: httpx2.AsyncClient, gemini_stand_in: GeminiStandIn, raw: redis.asyncio.Redis
) -> None:
    """An instance that is killed in mid-call takes its share with it: what nobody knows the end of stays spent."""
    await gemini_stand_in.fail("slow", seconds=0.3, times=CALLS * 2)
    outcomes: Counter[str] = Counter()
    with ExitStack() as stack:
        instances = [stack.enter_context(Instance("graphql", settings)) for _ in range(2)]
        for kill in range(KILLS):
            attempts = [
                asyncio.create_task(attempt(many, list(instances), kill * ATTEMPTS // KILLS + n))
                for n in range(ATTEMPTS // KILLS)
            ]
            async with asyncio.timeout(servers.WAIT_S):
                while int(await raw.hget(keys.BUDGET, "calls") or 0) < (kill + 1) * 25:
                    await asyncio.sleep(servers.POLL_S)
            instances[kill % 2].kill()
            outcomes.update(await asyncio.gather(*attempts))
            instances[kill % 2] = stack.enter_context(Instance("graphql", settings))
        outcomes.update(await asyncio.gather(*(attempt(many, instances, ATTEMPTS + n) for n in range(CALLS))))
    spent = int(await raw.hget(keys.BUDGET, "calls") or 0)
    print(ATTEMPTS, dict(outcomes), "calls:", await gemini_stand_in.calls(), "spent:", spent)
    assert CALLS == spent >= await gemini_stand_in.calls()
    assert outcomes["CUT"]
    assert outcomes["BUDGET_EXCEEDED"]
