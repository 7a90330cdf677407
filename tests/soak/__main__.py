"""Load and trouble for minutes on a whole fleet, and at the end an account of it: `make soak MINUTES=10`.

Two instances of each function as real processes, a real Valkey behind a proxy, the two stand-ins. Sketches are
numbered by colour, so that each picture is known to be the one of its own sketch; every transition of every job is
heard from Redis. Exits with 1 when something was lost, changed, mixed up, called too often, or did not stay flat.
"""

import argparse
import asyncio
import base64
import contextlib
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import redis.asyncio
from rubydraw.gemini import prompt
from rubydraw.settings import Settings
from rubydraw.sketch import Sketch

from tests.contract.wire_proxy import WireProxy
from tests.e2e.conftest import Laptop, laptop
from tests.e2e.redis_server import redis_server
from tests.e2e.sketch_client import SketchClient, client_of
from tests.servers import free_port
from tests.soak import colours, report
from tests.soak.gauges import Gauges
from tests.soak.ledger import Ledger
from tests.soak.load import Load
from tests.soak.trouble import SPARED, Trouble

LEASE_S = 3.0
SETTINGS = {
    "INSTANCES": "2",
    "LEASE_MS": f"{LEASE_S * 1000:.0f}",
    "HEARTBEAT_MS": "500",
    "GEMINI_TIMEOUT_S": "8",
    "SYNC_DEADLINE_S": "25",
    "WORK_DEADLINE_S": "30",
    "PUBLISH_TIMEOUT_S": "3",
    "GEMINI_DELAY_S": "0.4",  # so that a kill finds calls in the air
}
_READ_EVERY_S = 3.0
_SETTLED_WITHIN_S = 60.0
_WARM_UP_SHARE, _WARM_UP_S = 0.3, 120.0


async def soak(options: argparse.Namespace, folder: Path) -> bool:
    """Run it; whether everything held."""
    chance, ledger, gauges = random.Random(options.seed), Ledger(), Gauges()
    with redis_server(free_port()) as server:
        wire = WireProxy(server.port)
        async with wire.listening():
            url = f"redis://127.0.0.1:{wire.address}/0"
            with laptop(folder, REDIS_URL=url, **SETTINGS) as fleet:
                await asyncio.to_thread(lambda: fleet.endpoint)
                async with client_of(fleet.addresses) as client, _listening(server.url, ledger):
                    load, began_s = Load(client, ledger, chance), time.monotonic()
                    trouble = Trouble(
                        fleet, client, server, wire, ledger, chance, lease_s=LEASE_S, flush=options.flush
                    )  # fmt: skip

                    def over() -> bool:
                        return bool(time.monotonic() - began_s > options.minutes * 60)

                    reading = asyncio.create_task(_reading(gauges, trouble, fleet))
                    making = asyncio.create_task(trouble.run(over, options.trouble_every_s))
                    await load.run(over, options.per_s)
                    await making
                    await _settled(ledger)
                    reading.cancel()
                    took_s = time.monotonic() - began_s
                    calls, letters = await client.calls(), await _dead_letters(client)
                return _told(options, fleet, ledger, gauges, trouble, calls, letters, began_s, took_s)


@contextlib.asynccontextmanager
async def _listening(url: str, ledger: Ledger) -> AsyncIterator[None]:
    """Have the ledger hear every transition, past the proxy."""
    async with redis.asyncio.Redis.from_url(url, decode_responses=True) as client, client.pubsub() as channels:
        await channels.psubscribe("improve_sketch:*")

        async def listen() -> None:
            async for message in channels.listen():
                if message["type"] == "pmessage":
                    ledger.announced(message["channel"].removeprefix("improve_sketch:"), message["data"])

        listener = asyncio.create_task(listen())
        yield
        assert not listener.done(), f"transitions were missed: {listener}"
        listener.cancel()


async def _reading(gauges: Gauges, trouble: Trouble, fleet: Laptop) -> None:
    while True:
        await asyncio.sleep(_READ_EVERY_S)
        found: dict[str, int] = {}
        for name in fleet.addresses.keys() - {"redis", "pad"}:
            if pids := trouble.processes(name):
                found[name] = max(pids)  # gunicorn's worker, which is younger than its master
        gauges.read(found)


async def _settled(ledger: Ledger) -> None:
    """Wait until every accepted job is settled, or until that would be too late."""
    end_s = time.monotonic() + _SETTLED_WITHIN_S
    while ledger.unsettled and time.monotonic() < end_s:
        await asyncio.sleep(0.2)


async def _dead_letters(client: SketchClient) -> int:
    """How many messages Pub/Sub itself gave up."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        return int((await http.get(f"{client.addresses['pubsub']}/stats")).json()["dead_lettered"])


def _digest(number: int) -> str:
    model = Settings.gemini_model
    png = base64.b64decode(colours.sketch(number))
    sketch = Sketch.from_png(png, "", "", 0, max_png_bytes=len(png))
    return sketch.digest(model=model, prompt_version=prompt.PROMPT_VERSION)[:12]


def _told(
    options: argparse.Namespace,
    fleet: Laptop,
    ledger: Ledger,
    gauges: Gauges,
    trouble: Trouble,
    paid_calls: int,
    dead_letters: int,
    began_s: float,
    took_s: float,
) -> bool:
    """Print the report; whether everything held."""
    calls = report.Calls(fleet.logs)
    verdict = ledger.verdict() | {
        "sketches that cost too many calls": report.too_many(calls, ledger, {n: _digest(n) for n in ledger.numbers}),
        "calls that nobody logged": max(paid_calls - calls.events["gemini.asked"], 0),
        "messages that Pub/Sub gave up": dead_letters,
    }
    warm_up_s = min(took_s * _WARM_UP_SHARE, _WARM_UP_S)
    trends = gauges.trends(since_s=began_s + warm_up_s, at_least_s=(took_s - warm_up_s) / 2)
    lines, flat = report.trends(trends, SPARED)
    ends = Counter(job.lives[-1][-1] if job.lives[-1] else "forgotten" for job in ledger.jobs.values())
    print(f"soaked for {took_s / 60:.1f} min, seed {options.seed}, {trouble.made.total()} troubles")
    print(f"trouble     {report.listed(trouble.made)}")
    print(f"answers     {report.listed(ledger.answers)}")
    print(f"jobs        {len(ledger.jobs)} accepted: {report.listed(ends)}")
    print(
        f"calls       {paid_calls} for {len(calls.by_digest)} sketches; {calls.repeated} beyond the first, after "
        f"{calls.events['gemini.failed']} that failed and {calls.cut_off} that were cut off; "
        f"{calls.events['gemini.asked_without_redis']} without Redis"
    )
    print(f"processes   after {warm_up_s:.0f} s of warm-up", *lines, sep="\n")
    print("must be 0", *(f"  {count:>5} {name}" for name, count in verdict.items()), sep="\n")
    print("memory and connections are flat" if flat else "MEMORY OR CONNECTIONS GROW")
    return flat and not any(verdict.values())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--per-s", type=float, default=5, help="callers that begin each second")
    parser.add_argument("--trouble-every-s", type=float, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--flush", action="store_true", help="flush Redis, too: what was done may be forgotten")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory() as folder:
        held = asyncio.run(soak(options, Path(folder)))
    print("held" if held else "DID NOT HOLD")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
