"""The Pub/Sub stand-in misbehaves as it is told."""

import time

import httpx2
import pytest

from tests.contract.pubsub.sides import WAIT_S, Broker, Receiver, until


async def test_duplicate_delivers_the_next_push_twice_at_once(broker: Broker, receiver: Receiver) -> None:
    """Both copies carry the same message id, and the one after comes once."""
    await broker.push_to(receiver)
    await broker.script({"kind": "duplicate"})
    first = (await broker.publish()).json()["messageIds"]
    await until(lambda: len(receiver.pushes) == 2)
    second = (await broker.publish()).json()["messageIds"]
    await until(lambda: len(receiver.pushes) == 3)
    assert first * 2 + second == [push.message_id for push in receiver.pushes]


async def test_reorder_delivers_the_following_message_first(broker: Broker, receiver: Receiver) -> None:
    """Of two messages the second arrives first."""
    await broker.push_to(receiver)
    await broker.script({"kind": "reorder", "seconds": WAIT_S})
    ids = [(await broker.publish()).json()["messageIds"][0] for _ in range(2)]
    await until(lambda: len(receiver.pushes) == 2)
    assert ids[::-1] == [push.message_id for push in receiver.pushes]


async def test_delay_holds_a_push_back_so_many_seconds(broker: Broker, receiver: Receiver) -> None:
    """It leaves no sooner than asked."""
    await broker.push_to(receiver)
    await broker.script({"kind": "delay", "seconds": 0.2})
    started_s = time.monotonic()
    await broker.publish()
    await until(lambda: len(receiver.pushes) == 1)
    assert receiver.pushes[0].at_s - started_s >= 0.2


async def test_deliver_first_answers_the_publisher_after_the_push(broker: Broker, receiver: Receiver) -> None:
    """When publishing answers, the push has been made."""
    await broker.push_to(receiver)
    await broker.script({"kind": "deliver_first"})
    assert (await broker.publish()).status_code == 200
    assert len(receiver.pushes) == 1


async def test_lose_answer_publishes_and_says_nothing(broker: Broker, receiver: Receiver) -> None:
    """The connection closes without a byte, yet the message arrives."""
    await broker.push_to(receiver)
    await broker.script({"kind": "lose_answer"})
    with pytest.raises(httpx2.TransportError):
        await broker.publish()
    await until(lambda: len(receiver.pushes) == 1)


async def test_refuse_publish_answers_its_status_and_publishes_nothing(broker: Broker, receiver: Receiver) -> None:
    """403 unless it says another; cleared faults play no more."""
    await broker.push_to(receiver)
    await broker.script({"kind": "refuse_publish"}, {"kind": "refuse_publish", "status": 503, "times": 5})
    assert [(await broker.publish()).status_code for _ in range(2)] == [403, 503]
    assert (await broker.client.delete("/faults")).is_success
    (kept,) = (await broker.publish()).json()["messageIds"]
    await until(lambda: len(receiver.pushes) == 1)
    assert kept == receiver.pushes[0].message_id
