"""A fleet of two instances whose every event a schedule decides: who is asked, what is delivered, who dies, when."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio
from rubydraw import keys
from rubydraw.errors import SketchError
from rubydraw.gemini import prompt
from rubydraw.jobs.message import JobMessage
from rubydraw.work import Outcome

from tests.schedules.clockwork import Loop, grow_old
from tests.schedules.instance import Instance
from tests.schedules.other_side import Message, OtherSide
from tests.sketches import sketch
from tests.stand_ins import TOPIC

MODEL = "gemini-3.1-flash-image"
LEASE_S = 30.0
MAX_ATTEMPTS = 3
_QUIET_ROUNDS = 8
_MOST_ROUNDS = 40
_COLOURS = 3


class World:
    """Made anew for each schedule; every step of it ends when nothing more can happen by itself."""

    def __init__(self, loop: Loop, redis_port: int) -> None:
        self.loop, self._redis_port = loop, redis_port
        self.other_side = OtherSide()
        self.sketches = [sketch(40 * number) for number in range(_COLOURS)]
        self.digests = [each.digest(model=MODEL, prompt_version=prompt.PROMPT_VERSION) for each in self.sketches]
        self.accepted: dict[str, int] = {}
        """The colour of each job whose request id was answered."""
        self.syncs: Counter[int] = Counter()
        self.submits: Counter[int] = Counter()
        self.replays: Counter[str] = Counter()
        self.created_at_ms: dict[str, int] = {}
        self.kills = self.flushes = 0
        self.full = False
        self.wrong: list[str] = []
        self.after_each_step: Callable[[], Awaitable[None]] = _nothing
        self._stack = contextlib.AsyncExitStack()
        self._doing: set[asyncio.Task[Any]] = set()

    async def begin(self) -> None:
        self.redis = redis.asyncio.Redis(host="127.0.0.1", port=self._redis_port)
        await self._fill(False)
        await self.redis.flushall()
        await self._stack.enter_async_context(self.other_side.listening())
        self.environment = {
            "PUBSUB_URL": self.other_side.url,
            "PUBSUB_TOPIC": TOPIC,
            "GEMINI_API_KEY": "a-throw-away-key",
            "GEMINI_BASE_URL": self.other_side.url,
            "LOG_LEVEL": "ERROR",
        }
        self.instances = [await self._instance(), await self._instance()]

    async def end(self) -> None:
        for instance in self.instances:
            await instance.kill()
        await self._stack.aclose()
        await self.redis.aclose()

    # What a schedule is made of

    async def submit(self, colour: int, *, to: int, key: str | None = None, publish: str = "take") -> None:
        """Send a sketch into the background; its publish is taken, refused, or taken without an answer."""
        self.submits[colour] += 1
        self.other_side.next_publish = publish
        instance = self.instances[to]
        doing = instance.begin(self._submitted(instance, colour, key))
        while not doing.done() and not instance.wire.dead:
            await asyncio.wait((doing,), timeout=0.01)
        self.other_side.next_publish = "take"
        await self.settle()

    async def ask(self, colour: int, *, to: int) -> None:
        """Send a sketch whose caller waits."""
        self.syncs[colour] += 1
        instance = self.instances[to]
        self._watch(instance.begin(self._asked(instance, colour)))
        await self.settle()

    async def deliver(self, pick: int, *, to: int, again: bool = False) -> None:
        """Push one of the messages that wait, or `again` one of all; where there is none, have one made first."""
        if not (choice := self.other_side.messages if again else self.waiting):
            await self.submit(pick % _COLOURS, to=to)
            choice = self.waiting
        for message in choice[pick % len(choice) :][:1] if choice else []:
            await self._push(message, to)

    async def replay(self, pick: int) -> None:
        """Have one of the jobs that failed done again, as an operator does with its dead letter."""
        letters = self.other_side.messages
        message = letters[pick % len(letters)] if letters else None
        if message and await self.redis.hget(keys.status(message.request_id), "status") == b"error":
            with contextlib.suppress(SketchError):
                status, raised = await self.instances[0].parts.jobs.replay(_read(message))
                if status == "queued":
                    self.replays[message.request_id] += 1
                    self.other_side.publish(raised.data(), raised.attributes())
        await self.settle()

    async def answer(self, pick: int, how: str) -> None:
        """End one of the calls in the air; where there is none, have a job delivered first."""
        if not self.other_side.held:
            await self.deliver(pick, to=0)
        if held := self.other_side.held:
            self.other_side.answer(held[pick % len(held)], how)
            await self.settle()

    async def kill(self, number: int, *, command: int = 0, arrives: bool = False) -> None:
        """Kill an instance now, or at one of its next commands to Redis."""
        if command:
            self.instances[number].wire.die_at(command - 1, arrives=arrives)
        else:
            self.instances[number].wire.dead = True
        await self.settle()

    async def trouble(self, number: int, kind: str) -> None:
        """Break the next connection of an instance before a command (`drop`) or after it (`lose`); fill or empty Redis.

        A full Redis has room again with the next trouble of this kind.
        """
        wire = self.instances[number].wire
        match kind:
            case "drop":
                wire.drop += 1
            case "lose":
                wire.lose += 1
            case "full":
                await self._fill(not self.full)
            case "flush":
                await self._flush()
        await self.settle()

    async def jump(self, seconds: float, *, asleep: bool = False) -> None:
        """Let time pass; `asleep`: the instances did not notice, as after SIGSTOP and SIGCONT."""
        self.other_side.lapses += asleep or seconds >= LEASE_S
        ms = int(seconds * 1000)
        await grow_old(self.redis, ms)
        for message in self.other_side.messages:
            for name in message.attributes.keys() & {"created_at", "replayed_at"}:
                message.attributes[name] = str(int(message.attributes[name]) - ms)
        for request_id in self.created_at_ms:
            self.created_at_ms[request_id] -= ms
        if not asleep:
            self.loop.ahead_s += seconds
        await self.settle()

    # How it goes on

    async def settle(self) -> None:
        """Wait until everybody waits for the schedule: for Gemini's answer, for time to pass, or for nothing."""
        quiet = 0
        while quiet < _QUIET_ROUNDS:
            await asyncio.sleep(0)
            quiet = quiet + 1 if self._idle() else 0
            for number, instance in enumerate(self.instances):
                if instance.wire.dead:
                    await instance.kill()
                    self.other_side.lost()
                    self.kills += 1
                    self.instances[number] = await self._instance()
        await self.after_each_step()

    async def drain(self) -> None:
        """Take back every trouble, and deliver until every message is acknowledged and nobody waits."""
        await self._fill(False)
        for instance in self.instances:
            instance.wire.left, instance.wire.drop, instance.wire.lose = -1, 0, 0
        for _ in range(_MOST_ROUNDS):
            for message in self.waiting:
                await self._push(message, 0)
            while self.other_side.held:
                await self.answer(0, "drawn")
            if not self.waiting and not self._doing:
                return
            await self.jump(LEASE_S + 1)
        self.wrong.append(f"{len(self.waiting)} messages and {len(self._doing)} tasks never end")

    def colour_of(self, request_id: str) -> int | None:
        """The colour that a job was submitted with; None where nobody was told its request id."""
        return self.accepted.get(request_id)

    def most_calls(self, colour: int) -> int:
        """What the requests for one sketch may cost at most; a flush forgets what was counted."""
        replays = sum(count for job, count in self.replays.items() if self.colour_of(job) in (colour, None))
        return self.syncs[colour] + MAX_ATTEMPTS * (self.submits[colour] + replays) * (1 + self.flushes)

    @property
    def calm(self) -> bool:
        """Whether every instance reaches Redis."""
        wires = [instance.wire for instance in self.instances]
        broken = any(instance.parts.state._broken for instance in self.instances)
        return not (self.full or broken or any(wire.drop or wire.lose for wire in wires))

    @property
    def waiting(self) -> list[Message]:
        """The messages that nobody has acknowledged."""
        return [message for message in self.other_side.messages if not message.acknowledged]

    async def _fill(self, full: bool) -> None:
        """Have Redis refuse to write, or no longer."""
        self.full = full
        if full:
            await self.redis.config_set("maxmemory-policy", "noeviction")  # first: else all keys would go
        await self.redis.config_set("maxmemory", "1" if full else "256mb")

    async def _flush(self) -> None:
        """Have Redis begin empty, as after a restart: no keys, no scripts."""
        self.other_side.lost()
        self.flushes += 1
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.flushall()
            pipe.script_flush()
            pipe.publish("improve_sketch:flushed", "now")
            await pipe.execute()

    async def _push(self, message: Message, to: int) -> None:
        instance = self.instances[to]
        self._watch(instance.begin(self._delivered(instance, message)))
        await self.settle()

    async def _submitted(self, instance: Instance, colour: int, key: str | None) -> None:
        with contextlib.suppress(SketchError):
            later = instance.submit.later
            request_id = await later(self.sketches[colour], instance.charge, idempotency_key=key)
            if not instance.wire.dead and self.accepted.setdefault(request_id, colour) != colour:
                self.wrong.append("one request id stands for two sketches")

    async def _asked(self, instance: Instance, colour: int) -> None:
        with contextlib.suppress(SketchError):
            improved = await instance.submit.now(self.sketches[colour], instance.charge)
            if improved.drawing.image != self.sketches[colour].png:
                self.wrong.append("a caller got another sketch's drawing")

    async def _delivered(self, instance: Instance, message: Message) -> None:
        job, flushes = _read(message), self.flushes
        outcome, _ = await instance.work(job)
        if outcome is Outcome.AGAIN or instance.wire.dead:
            return
        message.acknowledged = True
        status, generation = await self.redis.hmget(keys.status(job.request_id), "status", "generation")
        replayed = int(generation or 0) > job.generation  # then a newer message is on its way
        surplus = any(other.request_id == job.request_id for other in self.waiting)  # another one does the job
        if status not in (b"done", b"error") and not replayed and not surplus and flushes == self.flushes:
            self.wrong.append(f"acknowledged while {status!r}")

    async def _instance(self) -> Instance:
        instance = Instance(self._redis_port, self.environment)
        await instance.start()
        return instance

    def _watch(self, task: asyncio.Task[Any]) -> None:
        self._doing.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._doing.discard(task)
        if not task.cancelled() and task.exception():
            self.wrong.append(f"an exception got out: {task.exception()!r}")

    def _idle(self) -> bool:
        calls = sum(instance.parts.gate.calls for instance in self.instances)
        return calls == len(self.other_side.held) and all(instance.idle for instance in self.instances)


def _read(message: Message) -> JobMessage:
    return JobMessage.read(message.data, message.attributes, max_png_bytes=2**20, message_id=message.id)


async def _nothing() -> None:
    pass
