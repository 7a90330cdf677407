"""Callers of every kind, at a steady rate: each asks, follows what it asked for, and looks at what came back."""

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import httpx2

from tests.e2e.sketch_client import SketchClient
from tests.e2e.sse_client import stream_of
from tests.soak import colours
from tests.soak.ledger import SETTLED, Ledger

_BURST = 20
_POLL_S = 0.7
_STREAM_S = 20.0
_RECENT = 200
_TRIES = 6
_SETTLED_WITHIN_S = 150.0
_GONE = (httpx2.HTTPError, OSError, AssertionError, asyncio.IncompleteReadError)
"""What a caller sees of an instance that was killed."""


class Load:
    """Keeps asking until told to stop; then waits for what is still under way."""

    def __init__(self, client: SketchClient, ledger: Ledger, chance: random.Random) -> None:
        self._client, self._ledger, self._chance = client, ledger, chance
        self._next = 0
        self._recent: list[int] = []
        self._callers: set[asyncio.Task[None]] = set()

    async def run(self, until: Callable[[], bool], per_s: float) -> None:
        """Start `per_s` callers a second while `until` does not hold, and let all of them finish."""
        kinds: dict[Callable[[], Awaitable[None]], int] = {
            self._job: 60, self._keyed_job: 12, self._streamed_job: 8, self._miss: 6, self._hit: 10, self._burst: 1,
        }  # fmt: skip
        while not until():
            (kind,) = self._chance.choices(list(kinds), list(kinds.values()))
            caller = asyncio.ensure_future(self._guarded(kind))
            self._callers.add(caller)
            caller.add_done_callback(self._callers.discard)
            await asyncio.sleep(self._chance.expovariate(per_s))
        while self._callers:
            await asyncio.wait(self._callers)

    async def _guarded(self, kind: Callable[[], Awaitable[None]]) -> None:
        try:
            await kind()
        except Exception as error:
            self._ledger.wrong["bad answers"] += 1
            print(f"a caller failed: {kind.__name__}: {type(error).__name__}: {error}", flush=True)

    async def _job(self) -> None:
        number = self._new()
        if request_id := self._accepted(number, await self._submit(number)):
            await self._follow(request_id, number)

    async def _keyed_job(self) -> None:
        """The same key until an answer comes, and once more: it is one job all the time."""
        number, key, request_ids = self._new(), uuid.uuid4().hex, list[str]()
        for _ in range(_TRIES):
            if request_id := self._accepted(number, await self._submit(number, idempotencyKey=key)):
                request_ids.append(request_id)
            if len(request_ids) == 2:
                break
            await asyncio.sleep(0.3)
        for request_id in set(request_ids):
            await self._follow(request_id, number)
        if len(set(request_ids)) > 1 and not self._replaced(request_ids[0]):
            self._ledger.wrong["one key for two jobs"] += 1

    async def _streamed_job(self) -> None:
        number = self._new()
        if not (request_id := self._accepted(number, await self._submit(number))):
            return
        with suppress(TimeoutError, *_GONE):
            async with asyncio.timeout(_STREAM_S), stream_of(self._endpoint(), request_id) as events:
                told = await events.until(*SETTLED, "not_found", within_s=_STREAM_S)
                self._ledger.answers[f"stream: {told[-1] if told[-1] in (*SETTLED, 'end') else 'failed'}"] += 1
        await self._follow(request_id, number)

    async def _miss(self) -> None:
        await self._now(self._new())

    async def _hit(self) -> None:
        await self._now(self._chance.choice(self._recent) if self._recent else self._new())

    async def _burst(self) -> None:
        """The same sketch twenty times at once, half of them in the background."""
        number = self._new()
        jobs = [self._submit(number) for _ in range(_BURST // 2)]
        _, *answers = await asyncio.gather(asyncio.gather(*(self._now(number) for _ in range(_BURST // 2))), *jobs)
        for payload in answers:
            if request_id := self._accepted(number, payload):
                await self._follow(request_id, number)

    def _new(self) -> int:
        self._next += 1
        return self._next

    async def _now(self, number: int) -> None:
        payload = await self._ask(number)
        if payload is None:
            return
        if payload["result"] is None:
            self._ledger.answers[f"sync: {payload['problem']['code']}"] += 1
            return
        self._ledger.answers[f"sync: {payload['result']['provenance']['cache']}"] += 1
        self._look(number, payload["result"]["imageBase64"])
        self._recent = [*self._recent[1 - _RECENT :], number]

    async def _submit(self, number: int, **input: Any) -> dict[str, Any] | None:
        return await self._ask(number, **input, **{"async": True})

    async def _ask(self, number: int, **input: Any) -> dict[str, Any] | None:
        """Send a sketch once; None where no answer came back."""
        kind = "async" if "async" in input else "sync"
        self._ledger.asked_for(number, background=kind == "async")
        try:
            return await self._client.improve(to=self._chance.randrange(2), pngBase64=colours.sketch(number), **input)
        except _GONE:
            self._ledger.answers[f"{kind}: no answer"] += 1
            return None

    def _accepted(self, number: int, payload: dict[str, Any] | None) -> str:
        """Return the request id of a job that was taken on."""
        if payload is None:
            return ""
        if payload["requestId"] is None:
            self._ledger.answers[f"async: {payload['problem']['code']}"] += 1
            return ""
        self._ledger.answers["async: accepted"] += 1
        self._ledger.accepted(payload["requestId"], number)
        return str(payload["requestId"])

    async def _follow(self, request_id: str, number: int) -> None:
        """Poll until the job is settled, and look at its picture."""
        end_s = time.monotonic() + _SETTLED_WITHIN_S
        while time.monotonic() < end_s:
            await asyncio.sleep(_POLL_S * (0.5 + self._chance.random()))
            state = await self._state(request_id)
            if state == "done":
                await self._fetch(request_id, number)
                return
            if state == "error" or (state == "not_found" and self._ledger.jobs[request_id].settled):
                return

    async def _state(self, request_id: str) -> str:
        try:
            answer = await self._client.raw_status(request_id, to=self._chance.randrange(2))
        except _GONE:
            return ""
        return str(answer["data"]["improveSketchStatus"]["status"]) if answer.get("data") else ""

    async def _fetch(self, request_id: str, number: int) -> None:
        """Look at the picture of a job that was told to be done."""
        for _ in range(_TRIES):
            answer: dict[str, Any] = {}
            with suppress(*_GONE):
                answer = await self._client.drawing(request_id, to=self._chance.randrange(2))
            if answer.get("data"):
                state = answer["data"]["improveSketchStatus"]
                if state["status"] == "done":
                    self._look(number, state["result"]["imageBase64"])
                elif not self._ledger.flushes:
                    self._ledger.wrong["done without a picture"] += 1
                return
            await asyncio.sleep(_POLL_S)
        self._ledger.answers["pictures not fetched"] += 1

    def _look(self, number: int, image_base64: str) -> None:
        if not colours.draws(number, image_base64):
            self._ledger.wrong["mixed up"] += 1
        else:
            self._ledger.answers["pictures of their own sketch"] += 1

    def _replaced(self, request_id: str) -> bool:
        """Whether a key may stand for another job by now: its first one failed and may be tried again."""
        job = self._ledger.jobs[request_id]
        return self._ledger.flushes > 0 or "error" in job.lives[-1]

    def _endpoint(self) -> str:
        return self._client.endpoints[self._chance.randrange(2)]
