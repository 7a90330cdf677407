"""Both functions with an archive behind Redis: what a flush costs, and what an archive that hangs costs."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.drawings.archive import FAILURES
from rubydraw.jobs.message import JobMessage

from tests import servers
from tests.functions.deliveries import ACKNOWLEDGED, Deliveries
from tests.functions.sketch_service import ONLY_URL, SketchService, Words, shown
from tests.servers import Server
from tests.sketches import now_ms, png, sketch
from tests.stand_ins import GeminiStandIn

DRAWINGS, DAILY_CALLS = 6, 1000


@pytest.fixture(scope="module")
def archived(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The settings of functions that keep drawings in a folder."""
    folder = tmp_path_factory.mktemp("archive")
    return environment | {"ARCHIVE_URL": f"file://{folder}", "DAILY_CALLS": str(DAILY_CALLS)}


@pytest.fixture(scope="module")
def archiving_server(archived: dict[str, str]) -> Iterator[Server]:
    yield from servers.a_function("graphql", archived)


@pytest.fixture(scope="module")
def archiving_worker(archived: dict[str, str]) -> Iterator[Server]:
    yield from servers.a_function("worker", archived)


@pytest.fixture
def archiving(
    archiving_server: Server, http: httpx2.AsyncClient, raw: redis.asyncio.Redis, gemini_stand_in: GeminiStandIn
) -> SketchService:
    return SketchService(http, archiving_server.url)


async def test_after_a_flush_nothing_is_paid_for_twice(
    archiving: SketchService, gemini_stand_in: GeminiStandIn, raw: redis.asyncio.Redis, http: httpx2.AsyncClient
) -> None:
    """The same drawings from the archive, then from Redis again; addresses stay good; ONLY finds them too."""
    made = [await archiving.improve(shade, hints="flush") for shade in range(DRAWINGS)]
    await raw.flushall()
    assert 200 == (await http.get(made[0]["result"]["imageUrl"])).status_code
    assert "ARCHIVE" == shown(await archiving.improve(0, hints="flush", cache="ONLY"))[0]
    await raw.flushall()
    for cache in ("ARCHIVE", "HIT"):
        again = [await archiving.improve(shade, hints="flush") for shade in range(DRAWINGS)]
        assert [(cache, shown(each)[1]) for each in made] == [shown(each) for each in again]
    assert DRAWINGS == await gemini_stand_in.calls()


async def test_what_an_archive_that_is_away_may_have_is_not_called_gone(
    environment: dict[str, str],
    tmp_path: Path,
    raw: redis.asyncio.Redis,
    http: httpx2.AsyncClient,
    gemini_stand_in: GeminiStandIn,
) -> None:
    """Neither by address nor by ONLY: the one would be forgotten, the other paid for again."""
    folders = [tmp_path / name for name in ("drawings", "pictures")]
    with servers.running_function("graphql", environment | {"ARCHIVE_URL": f"file://{tmp_path}"}) as server:
        service = SketchService(http, server.url)
        made = (await service.improve(hints="away"))["result"]
        await raw.flushall()
        for folder in folders:
            folder.rename(tmp_path / f"{folder.name} elsewhere")
            folder.touch()
        assert 503 == (await http.get(made["imageUrl"])).status_code
        for later in (False, True):
            refused = await service.improve(hints="away", cache="ONLY", later=later)
            assert "UNAVAILABLE" == refused["problem"]["code"]
        assert 1 == await gemini_stand_in.calls()


async def test_over_the_budget_the_archive_still_answers_a_job(
    archiving: SketchService, gemini_stand_in: GeminiStandIn, raw: redis.asyncio.Redis
) -> None:
    """What is kept costs nothing: it is done at once; what is not, and a new one, are refused."""
    await archiving.improve(hints="budget")
    await raw.flushall()
    today = (await raw.time())[0] // 86_400
    await raw.hset(keys.BUDGET, mapping={"day": today, "calls": DAILY_CALLS, "microdollars": 0})
    costly: list[Words] = [{"hints": "budget", "cache": "REFRESH"}, {"hints": "another"}]
    for asked in costly:
        refused = await archiving.improve(later=True, **asked)
        assert (None, "BUDGET_EXCEEDED") == (refused["requestId"], refused["problem"]["code"])
    done = await archiving.status(await archiving.submit(hints="budget"))
    assert ("done", 1) == (done["status"], await gemini_stand_in.calls())


async def test_job_of_an_archived_drawing_costs_no_call(
    archiving: SketchService,
    archiving_worker: Server,
    gemini_stand_in: GeminiStandIn,
    raw: redis.asyncio.Redis,
    http: httpx2.AsyncClient,
    message: JobMessage,
) -> None:
    """Whichever function made it; the worker keeps what it draws, too."""
    deliveries = Deliveries(http, archiving_worker.url, raw)
    job = replace(message, sketch=sketch(1, hints="job"))
    assert ACKNOWLEDGED == await deliveries.push(job)
    await raw.flushall()
    assert "ARCHIVE" == shown(await archiving.improve(1, hints="job"))[0]
    await raw.flushall()
    assert ACKNOWLEDGED == await deliveries.push(job)
    assert ("done", "ARCHIVE") == await deliveries.state(job, "status", "outcome")
    assert 1 == await gemini_stand_in.calls()


async def test_refresh_replaces_what_the_archive_keeps(
    archiving: SketchService, gemini_stand_in: GeminiStandIn, raw: redis.asyncio.Redis
) -> None:
    """A flush does not bring the old drawing back."""
    await archiving.improve(hints="refresh")
    fresh = await archiving.improve(hints="refresh", cache="REFRESH")
    await raw.flushall()
    kept = await archiving.improve(hints="refresh")
    assert "ARCHIVE" == shown(kept)[0]
    assert fresh["result"]["provenance"]["createdAt"] == kept["result"]["provenance"]["createdAt"]
    assert 2 == await gemini_stand_in.calls()


async def test_failure_is_not_archived(archiving: SketchService, gemini_stand_in: GeminiStandIn) -> None:
    """Neither a refusal nor a fault is a drawing."""
    await gemini_stand_in.fail("status", status=500)
    assert "PROVIDER_FAILED" == (await archiving.improve(hints="failure"))["problem"]["code"]
    assert "RESULT_EXPIRED" == (await archiving.improve(hints="failure", cache="ONLY"))["problem"]["code"]


async def test_without_redis_the_archive_still_answers(
    archiving: SketchService, archived: dict[str, str], gemini_stand_in: GeminiStandIn, http: httpx2.AsyncClient
) -> None:
    """Out of nobody's allowance; an answer has its picture in its address, for nobody can say where else it is."""
    made = await archiving.improve(hints="no redis")
    away = archived | {"REDIS_URL": f"redis://127.0.0.1:{servers.free_port()}/0", "LOCAL_ALLOWANCE_PER_MINUTE": "0"}
    with servers.running_function("graphql", away) as server:
        alone = SketchService(http, server.url)
        for cache in ("USE", "ONLY"):
            payload = await alone.improve(hints="no redis", cache=cache)
            assert ("ARCHIVE", shown(made)[1]) == shown(payload)
            assert f"data:image/png;base64,{shown(made)[1]}" == payload["result"]["imageUrl"]
        asked = {"pngBase64": base64.b64encode(png()).decode(), "hints": "no redis"}
        answer = (await alone.post(ONLY_URL, {"input": asked}))["data"]["improveSketch"]["result"]
        assert payload["result"]["imageUrl"] == answer["imageUrl"]
        path = made["result"]["imageUrl"].removeprefix(archiving.url)
        assert 200 == (await http.get(f"{alone.url}{path}")).status_code
        assert "UNAVAILABLE" == (await alone.improve(hints="new"))["problem"]["code"]
        assert 503 == (await http.get(f"{alone.url}/images/{'ab' * 32}.png")).status_code
    assert 1 == await gemini_stand_in.calls()


@pytest.fixture
def hanging(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """The settings of functions whose archive takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        there = {"ARCHIVE_URL": "s3://drawings", "ARCHIVE_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        yield environment | there | {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}


async def test_archive_that_hangs_is_left_alone_after_three_deadlines(
    hanging: dict[str, str], http: httpx2.AsyncClient, raw: redis.asyncio.Redis, gemini_stand_in: GeminiStandIn
) -> None:
    """Every sketch is drawn, every repeat is a hit, and three log lines are all that is told."""
    with servers.running_function("graphql", hanging) as server:
        service = SketchService(http, server.url)
        await asyncio.gather(*(service.improve(shade) for shade in range(FAILURES)))
        answers = [await service.improve(shade) for shade in range(DRAWINGS)]
        assert ["HIT"] * FAILURES + ["MISS"] * (DRAWINGS - FAILURES) == [shown(answer)[0] for answer in answers]
        assert FAILURES == sum("archive.failed" in line for line in server.lines)
    assert DRAWINGS == await gemini_stand_in.calls()
    assert DRAWINGS == len(await raw.keys(keys.result("*")))


async def test_done_is_told_before_the_archive_is_waited_for(
    hanging: dict[str, str],
    http: httpx2.AsyncClient,
    raw: redis.asyncio.Redis,
    gemini_stand_in: GeminiStandIn,
    message: JobMessage,
) -> None:
    """The message alone is acknowledged later: until then the instance has a CPU to write with."""
    with servers.running_function("worker", hanging) as server:
        deliveries = Deliveries(http, server.url, raw)
        assert ACKNOWLEDGED == await deliveries.push(message)
        status, updated_at = await deliveries.state(message, "status", "updated_at")
        assert ("done", True) == (status, now_ms() - int(updated_at or 0) >= 900)
