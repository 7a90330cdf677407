"""Messages, topics and subscriptions in memory, handed out at least once, as Pub/Sub does it."""

import asyncio
import itertools
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

_POLL_S = 0.02
_OVERHEAD_BYTES = 512  # what a message takes besides its data


class Refusal(Exception):
    """An error in Google's words."""

    def __init__(self, code: int, status: str, message: str) -> None:
        super().__init__(message)
        self.code, self.status, self.message = code, status, message


@dataclass(frozen=True)
class Message:
    """One message as published; `data` is base64."""

    id: str
    published_at: str
    data: str
    attributes: Mapping[str, str]

    @property
    def size_bytes(self) -> int:
        return _OVERHEAD_BYTES + len(self.data) + sum(len(k) + len(v) for k, v in self.attributes.items())


@dataclass(eq=False)
class Delivery:
    """One message on its way through one subscription, until somebody acknowledges it."""

    message: Message
    attempt: int = 0
    ack_id: str = ""
    due_s: float = 0.0
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the first push has been answered."""


@dataclass(eq=False)
class Subscription:
    """Where the messages of one topic go: pushed to the endpoints in turn, or kept until pulled."""

    name: str
    topic: str
    endpoints: Sequence[str]
    ack_deadline_s: float
    min_backoff_s: float
    max_backoff_s: float
    dead_letter_topic: str | None
    max_attempts: int
    described: Mapping[str, object]
    deliveries: set[Delivery] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.turn = itertools.cycle(self.endpoints)

    def backoff_s(self, attempt: int) -> float:
        """The pause after an attempt: it doubles from the shortest to the longest."""
        return min(self.max_backoff_s, self.min_backoff_s * 2.0 ** min(attempt - 1, 32))

    def exhausted(self, delivery: Delivery) -> bool:
        return self.dead_letter_topic is not None and delivery.attempt >= self.max_attempts


Push = Callable[[Subscription, Delivery], Awaitable[list[bool]]]
"""Makes one delivery attempt, and returns for each push in it whether it was acknowledged."""


class Broker:
    """Everything that is published and not yet acknowledged."""

    def __init__(self, push: Push, max_bytes: int) -> None:
        """With more than `max_bytes` unacknowledged, nothing is accepted."""
        self.topics: set[str] = set()
        self.subscriptions: dict[str, Subscription] = {}
        self.counts: Counter[str] = Counter()
        self._push = push
        self._max_bytes = max_bytes
        self._held_bytes = 0
        self._ids = itertools.count(time.time_ns() // 1000)

    def publish(self, topic: str, bodies: Sequence[tuple[str, Mapping[str, str]]]) -> tuple[list[str], list[Delivery]]:
        """Accept all messages, given as data and attributes, or none; return their ids, and what is being pushed.

        Raises Refusal when too much is kept already.
        """
        messages = [Message(str(next(self._ids)), _now(), data, attributes) for data, attributes in bodies]
        copies = sum(s.topic == topic for s in self.subscriptions.values())
        if self._held_bytes + copies * sum(m.size_bytes for m in messages) > self._max_bytes:
            raise Refusal(429, "RESOURCE_EXHAUSTED", f"More than {self._max_bytes} bytes are unacknowledged.")
        self.counts["published"] += len(messages)
        return [m.id for m in messages], [d for m in messages for d in self._hand_out(topic, m)]

    def remove(self, subscription: Subscription) -> None:
        """Delete a subscription and what it still held."""
        del self.subscriptions[subscription.name]
        for task in subscription.tasks:
            task.cancel()
        for delivery in list(subscription.deliveries):
            self._settle(subscription, delivery)

    async def pull(self, subscription: Subscription, most: int, wait_s: float) -> list[Delivery]:
        """Hand out what is due, waiting up to `wait_s` for the first; each is due again after the ack deadline."""
        end_s = time.monotonic() + wait_s
        while not (due := self._due(subscription)) and time.monotonic() < end_s:  # noqa: ASYNC110 -- due by time alone
            await asyncio.sleep(_POLL_S)
        for delivery in due[:most]:
            delivery.attempt += 1
            delivery.ack_id = uuid.uuid4().hex
            delivery.due_s = time.monotonic() + subscription.ack_deadline_s
        self.counts["delivered"] += len(due[:most])
        return due[:most]

    def acknowledge(self, subscription: Subscription, ack_ids: Sequence[str]) -> None:
        """Forget what was pulled under these ids; unknown ones are ignored, as the real service does."""
        for delivery in [d for d in subscription.deliveries if d.ack_id in ack_ids]:
            self._settle(subscription, delivery)
            self.counts["acked"] += 1

    def postpone(self, subscription: Subscription, ack_ids: Sequence[str], seconds: float) -> None:
        """Hand out deliveries again after so many seconds; 0 hands them back at once."""
        for delivery in [d for d in subscription.deliveries if d.ack_id in ack_ids]:
            delivery.due_s = time.monotonic() + seconds

    def stats(self) -> dict[str, int]:
        """What happened so far, and what is kept: `outstanding` to be pushed, `retained` to be pulled."""
        kept = Counter({"outstanding": 0, "retained": 0})
        for subscription in self.subscriptions.values():
            kept["outstanding" if subscription.endpoints else "retained"] += len(subscription.deliveries)
        names = ("published", "delivered", "acked", "dead_lettered")
        return {name: self.counts[name] for name in names} | kept

    def _hand_out(self, topic: str, message: Message) -> list[Delivery]:
        pushed = []
        for subscription in [s for s in self.subscriptions.values() if s.topic == topic]:
            delivery = Delivery(message)
            subscription.deliveries.add(delivery)
            self._held_bytes += message.size_bytes
            if subscription.endpoints:
                pushed.append(delivery)
                task = asyncio.create_task(self._push_until_settled(subscription, delivery))
                subscription.tasks.add(task)
                task.add_done_callback(subscription.tasks.discard)
        return pushed

    async def _push_until_settled(self, subscription: Subscription, delivery: Delivery) -> None:
        while True:
            delivery.attempt += 1
            answers = await self._push(subscription, delivery)
            delivery.answered.set()
            self.counts["delivered"] += len(answers)
            if any(answers):
                self.counts["acked"] += 1
                self._settle(subscription, delivery)
                return
            if subscription.exhausted(delivery) and self._bury(subscription, delivery):
                return
            await asyncio.sleep(subscription.backoff_s(delivery.attempt))

    def _due(self, subscription: Subscription) -> list[Delivery]:
        now_s = time.monotonic()
        due = [d for d in subscription.deliveries if d.due_s <= now_s]
        kept = [d for d in due if not (subscription.exhausted(d) and self._bury(subscription, d))]
        return sorted(kept, key=lambda d: int(d.message.id))

    def _bury(self, subscription: Subscription, delivery: Delivery) -> bool:
        """Move a delivery to the dead-letter topic; false if there is no such topic: the delivery is tried again."""
        topic = subscription.dead_letter_topic
        if topic is None or topic not in self.topics:
            return False
        _, project, _, short_name = subscription.name.split("/")
        prefix = "CloudPubSubDeadLetterSource"
        attributes = {
            **delivery.message.attributes,
            f"{prefix}DeliveryCount": str(delivery.attempt),
            f"{prefix}Subscription": short_name,
            f"{prefix}SubscriptionProject": project,
            f"{prefix}TopicPublishTime": delivery.message.published_at,
        }
        self._settle(subscription, delivery)
        # Even beyond `max_bytes`: a dead letter is not lost for lack of room.
        self._hand_out(topic, Message(str(next(self._ids)), _now(), delivery.message.data, attributes))
        self.counts["dead_lettered"] += 1
        return True

    def _settle(self, subscription: Subscription, delivery: Delivery) -> None:
        if delivery in subscription.deliveries:
            subscription.deliveries.discard(delivery)
            self._held_bytes -= delivery.message.size_bytes


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
