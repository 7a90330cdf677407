"""What must hold after each step of a schedule, whatever it was: I1 to I5 and the bound on calls."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from redis.asyncio.client import PubSub
from rubydraw import keys

from tests.schedules.world import World

SETTLED = {"done", "error"}
NEXT = {
    "": {"queued", "done", "error"},
    "queued": {"running", "done", "error"},
    "running": {"running", "queued", "done", "error"},
    "done": set[str](),
    "error": {"queued"},
}
"""The status machine of design.md; from `error` by a replay alone."""
MAX_ATTEMPTS = 3
_MARK = "improve_sketch:mark"


class Invariants:
    """Hears every transition, and looks at every record and call."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lives: defaultdict[str, list[list[str]]] = defaultdict(lambda: [[]])
        self._settled: set[str] = set()
        self._seen_calls, self._was_calm = 0, True

    async def begin(self) -> None:
        self._channels: PubSub = self._world.redis.pubsub()
        await self._channels.psubscribe("improve_sketch:*")
        await self._heard()

    async def end(self) -> None:
        await self._channels.aclose()  # type: ignore[no-untyped-call]

    async def check(self) -> None:
        """Raise AssertionError where one does not hold."""
        assert self._world.wrong == []
        await self._heard()
        jobs = await self._records()
        await self._heard()  # again: a timer may have moved one meanwhile
        for request_id, lives in self._lives.items():
            again = 0
            for life in lives:
                for before, after in pairwise(["", *life]):
                    assert after in NEXT[before], f"I3: {lives}"
                    again += before == "error"
            assert again <= self._world.replays[request_id], f"I3: revived by nobody: {lives}"
        for request_id, job in jobs.items():
            await self._check_job(request_id, job)
        self._check_calls()

    def check_ended(self) -> None:
        """I1: whoever has a request id has seen, or could have seen, its end."""
        assert self._world.wrong == []
        assert set(self._world.accepted) - self._settled == set()

    async def _records(self) -> dict[str, dict[str, str]]:
        pipe = self._world.redis.pipeline(transaction=False)
        for request_id in self._lives:
            pipe.hgetall(keys.status(request_id))
        records = await pipe.execute()
        return {
            request_id: {name.decode(): value.decode() for name, value in record.items()}
            for request_id, record in zip(self._lives, records, strict=True)
        }

    async def _check_job(self, request_id: str, job: dict[str, str]) -> None:
        world = self._world
        life = self._lives[request_id][-1]
        if not job:  # flushed, or older than it is kept: what comes back has its times from a message of back then
            world.created_at_ms.pop(request_id, None)
            if life:
                self._lives[request_id].append([])
            return
        assert job["status"] in life, "I3: a state that nobody announced"
        created_at_ms = world.created_at_ms.setdefault(request_id, int(job["created_at"]))
        assert created_at_ms == int(job["created_at"]), "I3: created_at is constant"
        assert int(job["attempt"]) <= MAX_ATTEMPTS, "I2: attempts"
        assert job["status"] != "running" or int(job["attempt"]) >= 1, "I2: counted before the call"
        if job["status"] == "done":
            await self._check_picture(request_id, job["digest"])

    async def _check_picture(self, request_id: str, digest: str) -> None:
        world = self._world
        colour = world.digests.index(digest)
        assert world.colour_of(request_id) in (colour, None), "I4: another sketch's drawing"
        pipe = world.redis.pipeline()
        pipe.hget(keys.result(digest), "image")
        pipe.pttl(keys.result(digest))
        pipe.pttl(keys.status(request_id))
        image, life_ms, job_life_ms = await pipe.execute()
        assert image == world.sketches[colour].png, "I5: done without its picture"
        assert life_ms >= job_life_ms, "I5: the picture goes before the job"

    def _check_calls(self) -> None:
        """One call at a time for a sketch and none for one that is drawn; in all, no more than was asked for."""
        calls, calm, losses = self._world.other_side.calls, self._world.calm, self._world.other_side.losses
        for number in range(self._seen_calls, len(calls)):
            call, others = calls[number], calls[:number]
            same = [other for other in others if other.png == call.png]
            if calm and self._was_calm:
                assert not [one for one in same if one.in_the_air and one.lapses == call.lapses], (
                    "I2: two calls at once"
                )
                drawn = [one for one in same if one.how == "drawn" and one.losses == losses]
                assert drawn == [], "I2: it was drawn already"
        self._seen_calls, self._was_calm = len(calls), calm
        if not calm:
            self._world.other_side.lost()
        for colour, sketch in enumerate(self._world.sketches):
            billed = sum(call.png == sketch.png and call.how not in ("429", "") for call in calls)
            assert billed <= self._world.most_calls(colour), f"I2: {billed} calls"

    async def _heard(self) -> None:
        """Read the transitions up to now."""
        await self._world.redis.publish(_MARK, "now")
        while message := await self._channels.get_message(timeout=5):
            if message["type"] != "pmessage":
                continue
            channel, state = message["channel"].decode(), message["data"].decode()
            if channel == _MARK:
                return
            if channel == "improve_sketch:flushed":
                for lives in self._lives.values():
                    lives.append([])
                continue
            request_id = channel.removeprefix("improve_sketch:")
            self._lives[request_id][-1].append(state)
            if state in SETTLED:
                self._settled.add(request_id)
