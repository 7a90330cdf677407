"""The reference client of event streams against the whole laptop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Laptop, laptop
from tests.e2e.redis_server import RedisServer, redis_server
from tests.e2e.sketch_client import IMPROVE, SKETCH, SketchClient, client_of
from tests.node.conftest import HERE, node_program
from tests.servers import free_port

pytestmark = pytest.mark.node

Lines = AsyncIterator[dict[str, Any]]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    node_program()
    with redis_server(free_port()) as server:
        yield server


@pytest.fixture(scope="module")
def running(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    with laptop(tmp_path_factory.mktemp("laptop"), REDIS_URL=redis.url, INSTANCES="2") as running:
        assert running.endpoint
        yield running


@pytest.fixture
async def client(running: Laptop, redis: RedisServer) -> AsyncIterator[SketchClient]:
    async with client_of(running.addresses) as client:
        await client.fresh(redis)
        yield client


@asynccontextmanager
async def graphql_sse(client: SketchClient, *arguments: str, to: int = 0) -> AsyncIterator[Lines]:
    """Run the client at one of the instances; what it prints, line by line."""
    command = (node_program(), str(Path(HERE) / "graphql_sse.mjs"), f"{client.endpoints[to]}/graphql", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout

    async def lines(stdout: asyncio.StreamReader) -> Lines:
        async for line in stdout:
            yield json.loads(line)

    try:
        async with asyncio.timeout(40):
            yield lines(process.stdout)
            assert 0 == await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def told(lines: list[dict[str, Any]], request_id: str) -> list[str]:
    """What one job's viewer was told: the states, and `complete`."""
    own = [line for line in lines if line.get("id") == request_id]
    assert {request_id} >= {
        line["result"]["data"]["improveSketchStatus"]["requestId"] for line in own if "result" in line
    }
    return [
        "complete" if "complete" in line else line["result"]["data"]["improveSketchStatus"]["status"] for line in own
    ]


async def running_jobs(client: SketchClient, count: int) -> list[str]:
    await client.faults({"kind": "hold", "times": count})
    jobs = [await client.submit(variant=variant) for variant in range(count)]
    await client.waiting(count)
    return jobs


async def all_running(lines: Lines, count: int) -> list[dict[str, Any]]:
    """Read on until so many states were told."""
    heard: list[dict[str, Any]] = []
    while sum("result" in line for line in heard) < count:
        heard.append(await anext(lines))
    return heard


async def test_live_late_and_unknown(client: SketchClient) -> None:
    """Each state once and the end; a late subscriber is told the last one, and an unknown id is complete at once."""
    (job,) = await running_jobs(client, 1)
    async with graphql_sse(client, "follow", job) as lines:
        heard = await all_running(lines, 1)
        await client.release()
        assert ["running", "done", "complete"] == told(heard + [line async for line in lines], job)
    unknown = str(uuid.uuid4())
    async with graphql_sse(client, "follow", job, unknown, to=1) as lines:
        heard = [line async for line in lines]
    assert [["done", "complete"], ["not_found", "complete"]] == [told(heard, job), told(heard, unknown)]
    assert 2 == sum("connected" in line for line in heard)


async def test_ten_viewers_of_one_job_beside_one_of_another(client: SketchClient) -> None:
    """Ten connections are told the same, the eleventh its own job's states."""
    job, other = await running_jobs(client, 2)
    async with graphql_sse(client, "follow", *[job] * 10, other) as lines:
        heard = await all_running(lines, 11)
        await client.release()
        heard += [line async for line in lines]
    assert {"running": 10, "done": 10, "complete": 10} == {
        each: told(heard, job).count(each) for each in told(heard, job)
    }
    assert ["running", "done", "complete"] == told(heard, other)


async def test_one_who_leaves_is_forgotten(client: SketchClient, redis: RedisServer) -> None:
    """The client breaks off its iteration; nothing stays subscribed."""
    (job,) = await running_jobs(client, 1)
    async with graphql_sse(client, "glance", job) as lines:
        assert ["running"] == told([line async for line in lines], job)
    end_s = time.monotonic() + 10
    while b" sub=" in redis.command("CLIENT", "LIST", "TYPE", "pubsub"):
        assert time.monotonic() < end_s
        await asyncio.sleep(0.02)
    await client.release()


async def test_what_is_refused_is_told_and_complete(client: SketchClient) -> None:
    """The client neither retries nor throws."""
    for query, found in (("subscription {", "Syntax Error"), ("subscription { x }", "Cannot query field 'x'")):
        async with graphql_sse(client, "once", json.dumps({"query": query})) as lines:
            connected, refused, end = [line async for line in lines]
        assert ({"connected": True, "retried": False}, {"complete": True}) == (connected, end)
        assert refused["result"]["errors"][0]["message"].startswith(found)


async def test_queries_and_mutations_come_over_the_same_client(client: SketchClient) -> None:
    """One result each."""
    input = {"pngBase64": SKETCH, "variant": 7}
    for request, field in (
        ({"query": "{ __typename }"}, "__typename"),
        ({"query": IMPROVE, "variables": {"input": input}}, "improveSketch"),
    ):
        async with graphql_sse(client, "once", json.dumps(request)) as lines:
            _, answer, end = [line async for line in lines]
        assert ([field], {"complete": True}) == (list(answer["result"]["data"]), end)


async def test_a_stopped_instance_is_followed_by_another_connection(client: SketchClient, running: Laptop) -> None:
    """SIGTERM ends the stream without `complete`, so the client comes again by itself and misses nothing."""
    (job,) = await running_jobs(client, 1)
    async with graphql_sse(client, "follow", job) as lines:
        heard = await all_running(lines, 1)
        command = f"--port {running.addresses['graphql'].rpartition(':')[2]}"
        (master,) = running.processes(command, generations=1)
        os.kill(master, signal.SIGTERM)
        heard += await all_running(lines, 1)
        await client.release()
        heard += [line async for line in lines]
    assert ["running", "running", "done", "complete"] == told(heard, job)
    assert {False, True} == {line["retried"] for line in heard if "connected" in line}
