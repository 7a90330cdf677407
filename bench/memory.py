"""How many calls to Gemini one instance holds in how much memory: `python -m bench.memory`, five minutes.

The real functions under functions-framework and the real SDK, on loopback; sketches and pictures of 1 MB. Gemini
keeps every call waiting (bench/barrier.py), then answers all of them at once, which is the worst case.
Memory is the PSS of the function's processes together, read every 50 ms; where this machine lets us, a cgroup stops
them at the size of the instance, as the platform does. `--write` puts the tables into docs/performance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
import json
import time
import uuid
from collections import Counter

import httpx2
import redis.asyncio
from rubydraw import keys
from rubydraw.jobs.message import JobMessage
from rubydraw.sketch import Sketch

from bench import pages
from bench.barrier import SIDE_PX, noise
from bench.instance import MIB, WAIT_S, Instance, answers, instance, surroundings, until

QUERY = "mutation($input: ImproveSketchInput!) { improveSketch(input: $input) { errors result { imageBase64 } } }"
SIZES = ((256, 40), (512, 110), (1024, 250))
"""MiB of an instance, and the calls that it should hold."""
WAITING = 100
HITS, AT_ONCE = 10_000, 8


def request(target: str, seed: int, side_px: int = SIDE_PX) -> bytes:
    """Return the body of one request or delivery; each seed has a sketch of its own."""
    png = noise(seed, side_px)
    if target == "graphql":
        variables = {"input": {"pngBase64": base64.b64encode(png).decode()}}
        return json.dumps({"query": QUERY, "variables": variables}).encode()
    sketch = Sketch.from_png(png, "", "", 0, max_png_bytes=5 * MIB)
    job = JobMessage(str(uuid.uuid4()), "", time.time_ns() // 1_000_000, 0, "", "", sketch)
    message = {"data": base64.b64encode(job.data()).decode(), "attributes": job.attributes(), "messageId": "1"}
    return json.dumps({"message": message}).encode()


class Client:
    """Sends requests to one instance, as many at once as it is told."""

    def __init__(self, http: httpx2.AsyncClient, it: Instance, target: str) -> None:
        self.http, self._it, self._target = http, it, target
        self.sending: list[asyncio.Task[str]] = []

    async def send(self, body: bytes) -> str:
        """Return in a word what became of one request."""
        try:
            answer = await self.http.post(self._it.url, content=body, headers={"content-type": "application/json"})
        except httpx2.TransportError:
            return "lost"
        if answer.status_code == 503 or b'"errors":["The service is busy' in answer.content:
            return "refused"
        drawn = answer.status_code == 204 or b'"errors":[],"result":{' in answer.content
        return "drawn" if drawn else "failed"

    async def begin(self, seed: int) -> None:
        body = await asyncio.to_thread(request, self._target, seed)
        self.sending.append(asyncio.create_task(self.send(body)))

    async def told(self) -> str:
        counts = Counter(await asyncio.gather(*self.sending))
        return ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))


def connections() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(trust_env=False, limits=httpx2.Limits(max_connections=None), timeout=WAIT_S)


async def calls(target: str, memory_mib: int, places: int) -> str:
    """Send 1.5 times as many requests as there are places; measure while they wait, and while all are answered."""
    with surroundings() as (settings, gemini):
        await until(lambda: answers(f"{gemini}/waiting"))
        settings = settings | {"MAX_IN_FLIGHT": str(places)}
        async with instance(target, memory_mib, **settings) as it, connections() as http:
            client = Client(http, it, target)
            await client.send(request(target, 0))  # so that the SDK is imported
            await http.post(f"{gemini}/hold")
            idle, sent = it.pss(), places * 3 // 2
            for seed in range(1, sent + 1):
                await client.begin(seed)

            async def held() -> int:
                return int((await http.get(f"{gemini}/waiting")).json())

            async def all_placed() -> bool:
                return await held() + sum(task.done() for task in client.sending) == sent or not it.alive()

            await until(all_placed)
            waiting, count = await it.steady(), await held()
            await http.post(f"{gemini}/release")
            told = await client.told()
            each, at_worst = (waiting - idle) / max(count, 1), (it.peak - idle) / max(count, 1)
            sizes = f"{idle:.0f} | {waiting:.0f} | {it.peak:.0f} | {each:.2f} | {at_worst:.2f}"
            return f"| {target} | {memory_mib:,} | {places} | {sent} | {count} | {sizes} | {told} |"


async def waiting_jobs() -> str:
    """Deliver jobs during a cooldown: each is claimed, handed back, and waits in the worker to be claimed again."""
    with surroundings() as (settings, gemini):
        await until(lambda: answers(f"{gemini}/waiting"))
        async with (
            instance("worker", 1024, **settings) as it,
            connections() as http,
            redis.asyncio.Redis.from_url(settings["REDIS_URL"]) as raw,
        ):
            client = Client(http, it, "worker")
            await client.send(request("worker", 0))
            idle, until_ms = it.pss(), time.time_ns() // 1_000_000 + 29_000
            await raw.set(keys.COOLDOWN, f"{until_ms}:29000", px=29_000)
            for seed in range(1, WAITING + 1):
                await client.begin(seed)

            async def handed_back() -> bool:
                retries = [await raw.hget(job, "retry_at") for job in await raw.keys(keys.status("*"))]
                return sum(bool(int(at or 0)) for at in retries) == WAITING

            await until(handed_back)
            waiting = await it.steady()
        return waits("jobs that wait out a cooldown", idle, waiting)


async def followers() -> str:
    """Ask for the same sketch many times at once: there is one call, and all wait for it."""
    with surroundings() as (settings, gemini):
        await until(lambda: answers(f"{gemini}/waiting"))
        async with instance("graphql", 1024, **settings) as it, connections() as http:
            client = Client(http, it, "graphql")
            await client.send(request("graphql", 0))
            await http.post(f"{gemini}/hold")
            idle = it.pss()
            for _ in range(WAITING):
                await client.begin(1)
            waiting = await it.steady()
            await http.post(f"{gemini}/release")
            told = await client.told()
            assert told == f"{WAITING} drawn", told  # noqa: S101
        return waits("requests for one and the same sketch", idle, waiting)


def waits(what: str, idle: float, waiting: float) -> str:
    return f"| {what} | {WAITING} | {idle:.0f} | {waiting:.0f} | {(waiting - idle) / WAITING:.2f} |"


async def hits() -> list[str]:
    """Answer 10,000 hits with a picture of 1 MB, eight at once; return sizes, and the peak until then."""
    body, rows = request("graphql", 1, side_px=316), []
    with surroundings() as (settings, gemini):
        await until(lambda: answers(f"{gemini}/waiting"))
        async with instance("graphql", 1024, **settings) as it, connections() as http:
            await Client(http, it, "graphql").send(body)
        async with instance("graphql", 1024, **settings) as it, connections() as http:
            client, left = Client(http, it, "graphql"), itertools.count(1)

            async def ask() -> None:
                while (number := next(left)) <= HITS:
                    if await client.send(body) != "drawn":
                        raise SystemExit("a hit failed")
                    if number in (100, 1000, 2000, 5000, HITS):
                        rows.append(f"| {number:,} | {it.pss(serving=True):.0f} | {it.pss():.0f} | {it.peak:.0f} |")

            await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    return rows


async def report() -> str:
    rows = [await calls(target, *size) for target in ("graphql", "worker") for size in SIZES]
    waiting = [await waiting_jobs(), await followers()]
    return PAGE.format(
        calls="\n".join(rows), waiting="\n".join(waiting), hits="\n".join(await hits()), measured=pages.measured()
    )


PAGE = """\
## Memory

{measured}: `python -m bench.memory`. Sizes are the PSS of all processes of one instance, in MiB; a cgroup limits the \
instance to its memory. Sketches and pictures have 1 MB each. *idle* is measured after a first call, *waiting* while \
Gemini draws, *peak* while all calls are answered at once. *places* is the setting `MAX_IN_FLIGHT`; one and a half \
times as many requests are sent.

| function | memory | places | sent | in flight | idle | waiting | peak | each, waiting | each, at worst | answers |
|---|---|---|---|---|---|---|---|---|---|---|
{calls}

A sketch is encoded while it is sent (`rubydraw/gemini/exchange.py`). If the SDK is given the whole sketch, it holds \
three more copies: as base64 in a dict, as JSON and as the client's request. A waiting call then took 4.5 MiB in the \
graphql function, and 7.2 MiB in the worker, which also held the body and the message (2026-11-24, 200 calls, same \
script).

The defaults follow from these figures: 250 calls for 1 GiB, and in Terraform `(memory - 110) / 3.65` for any size.

| what waits | how many | idle | waiting | each |
|---|---|---|---|---|
{waiting}

Cached drawings, {at_once} requests at once, each answered with 1.4 MB:

| after this many hits | serving process | all processes | peak until then |
|---|---|---|---|
{hits}
""".replace("{at_once}", str(AT_ONCE))


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    parser.add_argument(
        "--calls", nargs=3, metavar=("FUNCTION", "MIB", "PLACES"), help="measure and print one row of the first table"
    )
    options = parser.parse_args()
    if options.calls:
        target, memory_mib, places = options.calls
        print(await calls(target, int(memory_mib), int(places)))
        return
    text = await report()
    print(text)
    if options.write:
        pages.put("performance.md", "memory", text)


if __name__ == "__main__":
    asyncio.run(main())
