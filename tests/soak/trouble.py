"""What goes wrong during a soak: one thing after the other, by chance, each over after some seconds."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import httpx2

from tests.contract.wire_proxy import WireProxy
from tests.e2e.conftest import Laptop
from tests.e2e.redis_server import RedisServer
from tests.e2e.sketch_client import SketchClient
from tests.soak.ledger import FLUSHED, Ledger

SPARED = ("graphql", "worker")
"""Never ended, so that their memory can be watched; everything else happens to them too."""
EXPENDABLE = ("graphql-2", "worker-2")
_FLEET = SPARED + EXPENDABLE


class Trouble:
    """Makes it, and counts what it made by name."""

    def __init__(
        self,
        laptop: Laptop,
        client: SketchClient,
        redis: RedisServer,
        wire: WireProxy,
        ledger: Ledger,
        chance: random.Random,
        *,
        lease_s: float,
        flush: bool,
    ) -> None:
        self._laptop, self._client, self._redis, self._wire = laptop, client, redis, wire
        self._ledger, self._chance, self._lease_s = ledger, chance, lease_s
        self.made: Counter[str] = Counter()
        self._kinds: list[Callable[[], Awaitable[None]]] = [
            *(self._kill, self._terminate, self._pause, self._hang_redis, self._cut_redis, self._lose_answers),
            *(self._fill_redis, self._disturb_gemini, self._disturb_gemini, self._disturb_pubsub, self._disturb_pubsub),
            *((self._flush,) if flush else ()),
        ]

    async def run(self, until: Callable[[], bool], every_s: float) -> None:
        """Make trouble until told to stop, then clear away the faults that nobody has met."""
        while not until():
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * every_s)
            await self._chance.choice(self._kinds)()
        await self._client.no_faults()
        async with httpx2.AsyncClient(trust_env=False) as http:
            await http.delete(f"{self._client.addresses['pubsub']}/faults")
        self._wire.lose = 0

    def processes(self, name: str) -> set[int]:
        """All processes of an instance."""
        return self._laptop.processes(f"--port {self._client.addresses[name].rpartition(':')[2]}")

    async def _kill(self) -> None:
        self._signal(self.processes(self._one_of(EXPENDABLE, "SIGKILL")), signal.SIGKILL)

    async def _terminate(self) -> None:
        name = self._one_of(EXPENDABLE, "SIGTERM")
        port = self._client.addresses[name].rpartition(":")[2]
        self._signal(self._laptop.processes(f"--port {port}", generations=1), signal.SIGTERM)

    async def _pause(self) -> None:
        """Stop an instance in its tracks for longer than its leases last, then let it go on as if nothing was."""
        stopped = self.processes(self._one_of(_FLEET, "SIGSTOP and, after its leases, SIGCONT"))
        self._signal(stopped, signal.SIGSTOP)
        await asyncio.sleep(self._lease_s + 1)
        self._signal(stopped, signal.SIGCONT)

    async def _hang_redis(self) -> None:
        self.made["Redis hangs"] += 1
        self._redis.hang()
        await asyncio.sleep(self._chance.uniform(0.3, 2))
        self._redis.resume()

    async def _cut_redis(self) -> None:
        self.made["connections to Redis cut"] += 1
        self._wire.hang_up()

    async def _lose_answers(self) -> None:
        self.made["answers of Redis lost"] += 1
        self._wire.lose = self._chance.randint(1, 8)

    async def _fill_redis(self) -> None:
        self.made["Redis out of memory"] += 1
        await asyncio.to_thread(self._redis.command, "CONFIG", "SET", "maxmemory-policy", "noeviction")
        await asyncio.to_thread(self._redis.command, "CONFIG", "SET", "maxmemory", "1")
        await asyncio.sleep(self._chance.uniform(0.3, 2))
        await asyncio.to_thread(self._redis.command, "CONFIG", "SET", "maxmemory", "256mb")
        await asyncio.to_thread(self._redis.command, "CONFIG", "SET", "maxmemory-policy", "volatile-lru")

    async def _flush(self) -> None:
        self.made["Redis flushed"] += 1
        self._ledger.flushes += 1
        announced = f"PUBLISH {FLUSHED} now"  # in its place among the transitions
        await asyncio.to_thread(self._redis.command, "\r\n".join(("MULTI", "FLUSHALL", announced, "EXEC")))

    async def _disturb_gemini(self) -> None:
        fault = self._chance.choice(_GEMINI_FAULTS)
        self.made[f"Gemini: {' '.join(str(fault[word]) for word in ('kind', 'status', 'what') if word in fault)}"] += 1
        await self._client.faults(fault)

    async def _disturb_pubsub(self) -> None:
        fault = self._chance.choice(_PUBSUB_FAULTS)
        self.made[f"Pub/Sub: {fault['kind']}"] += 1
        async with httpx2.AsyncClient(trust_env=False) as http:
            address = f"{self._client.addresses['pubsub']}/faults"
            (await http.post(address, json=[fault])).raise_for_status()

    def _one_of(self, names: tuple[str, ...], what: str) -> str:
        name = self._chance.choice(names)
        self.made[what] += 1
        return name

    @staticmethod
    def _signal(pids: set[int], number: signal.Signals) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


_GEMINI_FAULTS: list[Mapping[str, object]] = [
    {"kind": "status", "status": 429, "retry_after_s": 1, "times": 2},
    {"kind": "status", "status": 503, "retry_after_s": 1},
    {"kind": "status", "status": 500, "times": 2},
    {"kind": "hang"},
    {"kind": "slow", "seconds": 3, "times": 5},
    *({"kind": "garbage", "what": what} for what in ("html", "cut_json", "bad_base64", "not_an_image", "empty")),
    {"kind": "no_image", "times": 2},
    {"kind": "jpeg", "times": 3},
    {"kind": "webp", "times": 3},
    {"kind": "refuse"},
]
_PUBSUB_FAULTS: list[Mapping[str, object]] = [
    {"kind": "duplicate", "times": 20},
    {"kind": "reorder", "times": 3, "seconds": 2},
    {"kind": "delay", "times": 5, "seconds": 2},
    {"kind": "deliver_first", "times": 5},
    {"kind": "lose_answer", "times": 2},
    {"kind": "refuse_publish", "times": 2, "status": 503},
    {"kind": "refuse_publish", "status": 403},
]
