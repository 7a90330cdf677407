"""A pull subscription of the Pub/Sub stand-in retains what nobody acknowledged."""

from tests.contract.pubsub.sides import Broker, Receiver


async def test_pulled_message_comes_back_until_acknowledged(broker: Broker) -> None:
    """Handed back, it is there again at once; acknowledged, it is gone."""
    await broker.put(broker.topic, {})
    await broker.put(broker.subscription, {"topic": broker.topic})
    await broker.publish()
    (first,) = await broker.pull(broker.subscription)
    assert await broker.pull(broker.subscription, wait=False) == []
    path = f"/v1/{broker.subscription}"
    back = {"ackIds": [first["ackId"]], "ackDeadlineSeconds": 0}
    assert (await broker.client.post(f"{path}:modifyAckDeadline", json=back)).json() == {}
    (second,) = await broker.pull(broker.subscription)
    assert first["message"] == second["message"]
    acknowledged = await broker.client.post(f"{path}:acknowledge", json={"ackIds": [second["ackId"]]})
    assert acknowledged.json() == {}
    await broker.client.post(f"{path}:modifyAckDeadline", json=back)
    assert await broker.pull(broker.subscription, wait=False) == []


async def test_pulled_message_comes_back_after_the_ack_deadline(broker: Broker) -> None:
    """What nobody acknowledges in time is handed out again, oldest first."""
    await broker.put(broker.topic, {})
    await broker.put(broker.subscription, {"topic": broker.topic, "ackDeadlineSeconds": 0.1})
    for name in ("a", "b"):
        await broker.publish(name=name)
    first = await broker.pull(broker.subscription)
    again = await broker.pull(broker.subscription)
    assert [received["message"]["attributes"]["name"] for received in first] == ["a", "b"]
    assert [received["message"] for received in first] == [received["message"] for received in again]


async def test_push_subscription_cannot_be_pulled_from(broker: Broker, receiver: Receiver) -> None:
    """The real service refuses it, too."""
    await broker.push_to(receiver)
    answer = await broker.client.post(f"/v1/{broker.subscription}:pull", json={"maxMessages": 1})
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "FAILED_PRECONDITION")
