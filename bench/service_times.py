"""The CPU that each kind of request costs a function: `python -m bench.service_times`, half a minute.

One request after the other, each function alone; sketches of 300 KB, pictures of 1 MB, which Gemini answers at once
and as JPEG. CPU seconds of the function's processes are counted, so a busy machine does not blur them.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable

import httpx2

from bench.instance import Instance, answers, free_port, instance, running, surroundings, until
from bench.memory import Client, connections, request
from emulator import topics

SIDE_PX = 550
"""A noisy sketch with sides of this length has 300 KB."""
MANY, FEW = 100, 30
SUBMIT = "mutation($input: ImproveSketchInput!) { improveSketch(input: $input) { requestId } }"
STATUS = '{ improveSketchStatus(requestId: "%s") { status etaMs } }'


async def cost_s(it: Instance, count: int, ask: Callable[[int], Awaitable[object]]) -> float:
    """Return the mean CPU seconds of `count` requests; a first one before them does not count."""
    await ask(0)
    before = it.cpu_s()
    for number in range(1, count + 1):
        await ask(number)
    return (it.cpu_s() - before) / count


async def measure() -> dict[str, float]:
    pubsub = free_port()
    with (
        surroundings("--jpeg") as (settings, gemini),
        running([sys.executable, "-m", "emulator.pubsub", "--port", str(pubsub)]),
    ):
        url = f"http://127.0.0.1:{pubsub}"
        settings |= {"PUBSUB_URL": url, "PUBSUB_TOPIC": topics.TOPIC}
        await until(lambda: answers(f"{gemini}/waiting"))
        await until(lambda: answers(f"{url}/stats"))
        async with connections() as http:
            (await http.put(f"{url}/v1/{topics.TOPIC}", json={})).raise_for_status()
            async with instance("graphql", 1024, **settings) as it:
                costs = await of_graphql(it, http)
            async with instance("worker", 1024, **settings) as it:
                worker = Client(http, it, "worker")
                costs["job_s"] = await cost_s(it, FEW, lambda n: drawn(worker, request("worker", 500 + n, SIDE_PX)))
    return costs


async def of_graphql(it: Instance, http: httpx2.AsyncClient) -> dict[str, float]:
    client = Client(http, it, "graphql")
    misses = [request("graphql", number, SIDE_PX) for number in range(FEW + 1)]

    async def submit(number: int) -> str:
        given = json.loads(request("graphql", 200 + number, SIDE_PX))["variables"]["input"] | {"async": True}
        answer = await http.post(it.url, json={"query": SUBMIT, "variables": {"input": given}})
        return str(answer.json()["data"]["improveSketch"]["requestId"])

    request_id = await submit(MANY + 1)
    status = {"query": STATUS % request_id}
    return {
        "miss_s": await cost_s(it, FEW, lambda number: drawn(client, misses[number])),
        "hit_s": await cost_s(it, MANY, lambda _: drawn(client, misses[0])),
        "enqueue_s": await cost_s(it, FEW, submit),
        "status_s": await cost_s(it, MANY, lambda _: http.post(it.url, json=status)),
    }


async def drawn(client: Client, body: bytes) -> None:
    if (told := await client.send(body)) != "drawn":
        raise SystemExit(f"a request was {told}")


if __name__ == "__main__":
    for name, seconds in asyncio.run(measure()).items():
        print(f"{name} = {seconds:.4f}")
