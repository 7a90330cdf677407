"""What the Pub/Sub stand-in refuses to a subscriber that pulls."""

from tests.contract.pubsub.sides import Broker, Receiver


async def test_push_subscription_cannot_be_pulled_from(broker: Broker, receiver: Receiver) -> None:
    """The real service refuses it, too."""
    await broker.push_to(receiver)
    answer = await broker.client.post(f"/v1/{broker.subscription}:pull", json={"maxMessages": 1})
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "FAILED_PRECONDITION")
