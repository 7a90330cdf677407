"""One push as Pub/Sub makes it: the real envelope, the endpoints in turn, the answer judged by its status."""

import asyncio
from contextlib import suppress
from typing import Annotated, Literal

import httpx2
import orjson
from pydantic import Field

from emulator.broker import Delivery, Subscription
from emulator.faults import Fault, Faults

_ACKNOWLEDGED = (102, 200, 201, 202, 204)
_MOST_AT_ONCE = 100


class PubsubFault(Fault):
    """What can go wrong with the next publish or push.

    * `deliver_first`: pushed and answered before the publisher gets its answer
    * `lose_answer`: published, but the connection closes instead of an answer
    * `refuse_publish`: answered with `status`
    * `duplicate`: pushed twice at once
    * `reorder`: held back until the following one was delivered, for `seconds` at most
    * `delay`: pushed after `seconds`
    """

    kind: Literal["deliver_first", "lose_answer", "refuse_publish", "duplicate", "reorder", "delay"]
    status: Annotated[int, Field(ge=400, le=599)] = 403


class Pusher:
    """Pushes to the endpoints of any subscription, at most a hundred at once."""

    def __init__(self, faults: Faults[PubsubFault]) -> None:
        self._faults = faults
        self._held_back: list[asyncio.Event] = []
        self._slots = asyncio.Semaphore(_MOST_AT_ONCE)
        # As many connections as pushes and their duplicates need, idle for less than gunicorn's 2 s: a push into
        # a connection that closes would count as refused.
        limits = httpx2.Limits(max_connections=2 * _MOST_AT_ONCE, keepalive_expiry=1.0)
        self._client = httpx2.AsyncClient(trust_env=False, timeout=None, limits=limits)

    async def push(self, subscription: Subscription, delivery: Delivery) -> list[bool]:
        """Make one attempt, with the next scripted fault; return whether each push in it was acknowledged."""
        fault = self._faults.take("duplicate", "reorder", "delay")
        kind = fault.kind if fault else None
        if fault and kind == "delay":
            await asyncio.sleep(fault.seconds)
        if fault and kind == "reorder":
            await self._hold_back(fault.seconds)
        copies = 2 if kind == "duplicate" else 1
        async with self._slots:
            answers = await asyncio.gather(*(self._post(subscription, delivery) for _ in range(copies)))
        if kind != "reorder":
            for event in self._held_back:
                event.set()
        return answers

    async def close(self) -> None:
        await self._client.aclose()

    async def _hold_back(self, most_s: float) -> None:
        event = asyncio.Event()
        self._held_back.append(event)
        with suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), most_s)
        self._held_back.remove(event)

    async def _post(self, subscription: Subscription, delivery: Delivery) -> bool:
        body, headers = _envelope(subscription, delivery), {"Content-Type": "application/json"}
        try:
            async with asyncio.timeout(subscription.ack_deadline_s):
                answer = await self._client.post(next(subscription.turn), content=body, headers=headers)
        except (httpx2.TransportError, TimeoutError):
            return False
        return answer.status_code in _ACKNOWLEDGED


def _envelope(subscription: Subscription, delivery: Delivery) -> bytes:
    message = delivery.message
    body: dict[str, object] = {
        "subscription": subscription.name,
        "message": {
            "data": message.data,
            "attributes": message.attributes,
            "messageId": message.id,
            "message_id": message.id,
            "publishTime": message.published_at,
            "publish_time": message.published_at,
        },
    }
    if subscription.dead_letter_topic:
        body["deliveryAttempt"] = delivery.attempt
    return orjson.dumps(body)
