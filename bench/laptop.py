"""Runs the laptop's fleet under a known load, and simulates the same arrivals with that fleet's service times."""

from __future__ import annotations

import asyncio
import base64
import io
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

import httpx2
from PIL import Image

from bench.arrivals import DAY_S, Arrival, arrivals
from bench.instance import ROOT, WAIT_S, free_port, machine
from bench.simulation import Deployment, Simulation, Times

CALL_DELAY_S = 1.0
PER_S, LENGTH_S, LONGEST_AGO = 3.0, 40.0, 60
SERIAL, PAUSE_S = 20, 0.3
"""How many requests measure a service time, and how far apart: back to back, a hit takes half as long as at the pace of
the load, when nothing is in the processor's caches any more."""
WITHIN = 0.2
IMPROVE = """mutation($input: ImproveSketchInput!) { improveSketch(input: $input) {
  requestId errors result { imageBase64 provenance { cache providerMs } } } }"""
STATUS = """query($id: String!) { improveSketchStatus(requestId: $id) {
  status createdAt updatedAt result { provenance { providerMs } } } }"""

Words = dict[str, Any]
Answer = TypeVar("Answer")


class Laptop:
    """The endpoint of `make run`."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self._http, self._url = http, url

    async def improve(self, key: int, *, background: bool = False) -> tuple[Words, float]:
        """Send the sketch of this key; return the payload, and the seconds until it was there."""
        square = io.BytesIO()
        Image.new("RGB", (16, 16), (key % 256, key // 256 % 256, key // 65536)).save(square, "PNG")
        given = {"pngBase64": base64.b64encode(square.getvalue()).decode(), "async": background}
        began = time.monotonic()
        payload: Words = (await self._ask(IMPROVE, {"input": given}))["improveSketch"]
        took_s = time.monotonic() - began
        if payload["errors"]:
            raise SystemExit(f"the fleet failed: {payload['errors']}")
        return payload, took_s

    async def job(self, key: int) -> tuple[float, float]:
        """Have a sketch improved in the background; return the seconds to its end by Redis' clock, and its call's."""
        request_id = (await self.improve(key, background=True))[0]["requestId"]
        async with asyncio.timeout(WAIT_S):
            while (job := (await self.status(request_id)))["status"] not in ("done", "error"):  # noqa: ASYNC110
                await asyncio.sleep(0.5)
        created, updated = (datetime.fromisoformat(job[name]) for name in ("createdAt", "updatedAt"))
        return (updated - created).total_seconds(), job["result"]["provenance"]["providerMs"] / 1000

    async def status(self, request_id: str) -> Words:
        status: Words = (await self._ask(STATUS, {"id": request_id}))["improveSketchStatus"]
        return status

    async def _ask(self, query: str, variables: Words) -> Words:
        answer = await self._http.post(self._url, json={"query": query, "variables": variables})
        data: Words = answer.json()["data"]
        return data


@asynccontextmanager
async def laptop() -> AsyncIterator[Laptop]:
    port = free_port()
    env = machine() | {"PORT": str(port), "GEMINI_DELAY_S": str(CALL_DELAY_S), "LOG_LEVEL": "ERROR"}
    command = [sys.executable, "-m", "emulator"]
    process = subprocess.Popen(  # noqa: ASYNC220
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout  # noqa: S101
    try:
        while not (line := await asyncio.to_thread(process.stdout.readline)).startswith(b"ready"):
            if not line:
                raise SystemExit("the laptop's fleet did not start")
        async with httpx2.AsyncClient(trust_env=False, timeout=WAIT_S) as http:
            yield Laptop(http, f"http://127.0.0.1:{port}/graphql")
    finally:
        process.terminate()
        process.wait(30)


async def service_times(laptop: Laptop) -> Times:
    """Measure one request at a time, at the pace of the load; return medians of what each takes besides its call."""
    fresh = iter(range(1_000_000, 2_000_000))
    await asyncio.gather(laptop.improve(next(fresh)), laptop.job(next(fresh)))  # so that everything is imported
    misses = [await laptop.improve(next(fresh)) for _ in range(SERIAL)]
    calls_s = [payload["result"]["provenance"]["providerMs"] / 1000 for payload, _ in misses]
    hits = await apart(lambda: laptop.improve(1_000_000))
    enqueues = await apart(lambda: laptop.improve(1_000_000, background=True))
    jobs = [await laptop.job(next(fresh)) for _ in range(SERIAL // 2)]
    statuses = await apart(lambda: timed(lambda: laptop.status(enqueues[0][0]["requestId"])))
    own_s = statistics.median(took_s - call_s for took_s, call_s in jobs)
    return Times(
        hit_s=statistics.median(took_s for _, took_s in hits),
        enqueue_s=statistics.median(took_s for _, took_s in enqueues),
        status_s=statistics.median(statuses),
        miss_s=statistics.median(took_s - call_s for (_, took_s), call_s in zip(misses, calls_s, strict=True)),
        job_s=own_s / 2,
        hand_over_s=own_s / 2,
        call_s=statistics.median(calls_s),
        call_spread=0.0,
        start_s=0.0,
    )


async def apart(ask: Callable[[], Awaitable[Answer]]) -> list[Answer]:
    answers = []
    for _ in range(SERIAL):
        await asyncio.sleep(PAUSE_S)
        answers.append(await ask())
    return answers


async def timed(ask: Callable[[], Any]) -> float:
    began = time.monotonic()
    await ask()
    return time.monotonic() - began


async def under_load(laptop: Laptop, load: list[Arrival]) -> dict[str, list[float]]:
    """Send the arrivals at their times; return the waits by kind, as the simulation does."""
    waits_s: dict[str, list[float]] = {"hit": [], "drawn": [], "job": []}
    began = time.monotonic()

    async def send(arrival: Arrival) -> None:
        await asyncio.sleep(began + arrival.at_s - time.monotonic())
        if arrival.background:
            waits_s["job"].append((await laptop.job(arrival.key))[0])
            return
        payload, took_s = await laptop.improve(arrival.key)
        kind = "hit" if payload["result"]["provenance"]["cache"] == "HIT" else "drawn"
        waits_s[kind].append(took_s)

    await asyncio.gather(*map(send, load))
    return waits_s


async def compare() -> int:
    load = list(arrivals(PER_S * DAY_S, 0, LENGTH_S, seed=7, longest_ago=LONGEST_AGO))
    load = [Arrival(each.at_s, each.key + LONGEST_AGO, each.background) for each in load]
    async with laptop() as it:
        times = await service_times(it)
        print(f"service times: {times}\n{len(load)} sketches in {LENGTH_S:.0f} s")
        await asyncio.gather(*(it.improve(key) for key in range(LONGEST_AGO)))  # the sketches that were sent before
        measured = await under_load(it, load)
    deployment = Deployment(kept=10_000, archive=False, max_instances=1)
    warm = [Arrival(each.at_s, each.key - LONGEST_AGO, each.background) for each in load]
    simulated = Simulation(times, deployment).run(warm).waits_s
    print(f"{'median ms of':<14}{'measured':>10}{'simulated':>11}{'difference':>12}")
    worst = 0.0
    for kind in measured:
        real, model = statistics.median(measured[kind]) * 1000, statistics.median(simulated[kind]) * 1000
        worst = max(worst, abs(model / real - 1))
        counts = f"({len(measured[kind])} and {len(simulated[kind])})"
        print(f"{kind:<14}{real:>10.1f}{model:>11.1f}{model / real - 1:>+12.0%}   {counts}")
    return int(worst > WITHIN)


def check() -> int:
    """Return 0 if every median of the simulation is within 20 % of the measured one."""
    return asyncio.run(compare())
