"""The Pub/Sub stand-in pushes with the real envelope, again and again until acknowledged."""

import itertools

import pytest

from tests.contract.pubsub.sides import DATA, Broker, Receiver, until


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_documented_statuses_acknowledge(broker: Broker, receiver: Receiver, status: int) -> None:
    """One push, and nothing is left."""
    receiver.statuses.append(status)
    before = await broker.stats()
    await broker.push_to(receiver)
    await broker.publish()
    await until(lambda: len(receiver.pushes) == 1)
    after = await broker.until_counted("acked", before["acked"] + 1)
    grown = {name: after[name] - before[name] for name in after}
    expected = {"published": 1, "delivered": 1, "acked": 1, "outstanding": 0, "retained": 0, "dead_lettered": 0}
    assert expected == grown
    assert len(receiver.pushes) == 1


@pytest.mark.parametrize("status", [302, 400])
async def test_other_statuses_redeliver_the_same_message(broker: Broker, receiver: Receiver, status: int) -> None:
    """The second push is the first one again."""
    receiver.statuses.append(status)
    await broker.push_to(receiver)
    await broker.publish()
    await until(lambda: len(receiver.pushes) == 2)
    assert receiver.pushes[0].body == receiver.pushes[1].body


async def test_endpoint_that_is_down_is_tried_again(broker: Broker) -> None:
    """A refused connection is redelivered once somebody listens."""
    receiver = Receiver()
    async with receiver.listening():
        await broker.push_to(receiver)
    before = await broker.stats()
    await broker.publish()
    await broker.until_counted("delivered", before["delivered"] + 1)
    async with receiver.listening(port=int(receiver.url.rstrip("/").rpartition(":")[2])):
        await until(lambda: len(receiver.pushes) == 1)


async def test_backoff_doubles_up_to_its_maximum(broker: Broker, receiver: Receiver) -> None:
    """0.05, 0.1 and then 0.2 s pass at least between the pushes; going on to double, it would be 12.75 s in all."""
    receiver.statuses.extend([500] * 8)
    await broker.push_to(receiver, retryPolicy={"minimumBackoff": "0.05s", "maximumBackoff": "0.2s"})
    await broker.publish()
    await until(lambda: len(receiver.pushes) == 9)
    times_s = [push.at_s for push in receiver.pushes]
    gaps_s = [after - before for before, after in itertools.pairwise(times_s)]
    assert all(gap_s >= least_s for gap_s, least_s in zip(gaps_s, (0.05, 0.1, *[0.2] * 6), strict=True))
    assert sum(gaps_s) < 8


async def test_attempts_are_counted_where_there_is_a_dead_letter_policy(broker: Broker, receiver: Receiver) -> None:
    """In the envelope, from 1, as the real service does and Google's emulator does not."""
    receiver.statuses.extend([500] * 2)
    await broker.push_to(receiver, **await broker.bury())
    await broker.publish()
    await until(lambda: len(receiver.pushes) == 3)
    assert [push.body["deliveryAttempt"] for push in receiver.pushes] == [1, 2, 3]


async def test_two_endpoints_get_the_pushes_in_turn(broker: Broker, receivers: list[Receiver]) -> None:
    """Of six messages, each of two endpoints gets three."""
    await broker.push_to(*receivers)
    for _ in range(6):
        await broker.publish()
    await until(lambda: sum(len(receiver.pushes) for receiver in receivers) == 6)
    assert [len(receiver.pushes) for receiver in receivers] == [3, 3]


async def test_many_pushes_are_in_flight_at_once(broker: Broker, receiver: Receiver) -> None:
    """Forty pushes that nobody answers are all under way together."""
    receiver.statuses.extend([None] * 40)
    await broker.push_to(receiver)
    body = {"messages": [{"data": DATA}] * 40}
    assert len((await broker.client.post(f"/v1/{broker.topic}:publish", json=body)).json()["messageIds"]) == 40
    await until(lambda: len(receiver.pushes) == 40)
