"""The Pub/Sub stand-in answers, and refuses, what the real service does."""

import json

import httpx2
import pytest

from tests.contract.pubsub.sides import DATA, Broker, Receiver, running


async def test_subscription_is_described_as_it_was_made(broker: Broker, receiver: Receiver) -> None:
    """A subscription reads back with the fields it was created with, and can be made once."""
    await broker.push_to(receiver, ackDeadlineSeconds=30)
    found = (await broker.client.get(f"/v1/{broker.subscription}")).json()
    assert found["pushConfig"] == {"pushEndpoint": receiver.url}
    assert (found["name"], found["topic"], found["ackDeadlineSeconds"]) == (broker.subscription, broker.topic, 30)
    assert (await broker.put(broker.subscription, {"topic": broker.topic})).status_code == 409


@pytest.mark.parametrize(
    "body",
    [
        {"topic": "projects/laptop/topics/nobody-made-it"},
        {"pushConfig": {"pushEndpoint": "not an address"}},
        {"retryPolicy": {"minimumBackoff": "soon"}},
        {"retryPolicy": {"minimumBackoff": "601s"}},
        {"ackDeadlineSeconds": 601},
        {"deadLetterPolicy": {"deadLetterTopic": "projects/laptop/topics/any", "maxDeliveryAttempts": 4}},
    ],
    ids=lambda body: next(iter(body)),
)
async def test_subscription_that_the_real_service_would_refuse_is_refused(
    broker: Broker, body: dict[str, object]
) -> None:
    """A missing topic is 404, a value out of its range 400."""
    await broker.put(broker.topic, {})
    answer = await broker.put(broker.subscription, {"topic": broker.topic, **body})
    assert answer.status_code == (404 if "topic" in body else 400)


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"data": "not base64!"},
        {"data": DATA, "attributes": {"key": 1}},
        {"data": DATA, "attributes": {"k" * 257: "v"}},
        {"data": DATA, "attributes": {"k": "v" * 1025}},
        {"data": DATA, "attributes": {f"k{n}": "v" for n in range(101)}},
    ],
    ids=["empty", "alphabet", "type", "key", "value", "count"],
)
async def test_message_that_the_real_service_would_refuse_is_refused(
    broker: Broker, message: dict[str, object]
) -> None:
    """An empty message, broken base64 and attributes beyond the limits are 400."""
    await broker.put(broker.topic, {})
    answer = await broker.client.post(f"/v1/{broker.topic}:publish", json={"messages": [message]})
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


async def test_publish_is_refused_above_ten_megabytes_of_body(broker: Broker) -> None:
    """10,485,760 bytes of request pass, one more does not."""
    await broker.put(broker.topic, {})
    frame = len(json.dumps({"messages": [{"data": ""}]}))
    for extra, expected in ((0, 200), (4, 400)):
        data = "A" * ((10_485_760 - frame) // 4 * 4 + extra)
        body = json.dumps({"messages": [{"data": data}]})
        answer = await broker.client.post(f"/v1/{broker.topic}:publish", content=body)
        assert expected == answer.status_code


async def test_publish_is_refused_when_too_much_is_unacknowledged() -> None:
    """Beyond the bound on memory, publishing answers 429 until something is acknowledged."""
    with running("--max-bytes", "2500") as url:
        async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
            topic, subscription = "projects/laptop/topics/full", "projects/laptop/subscriptions/full"
            broker = Broker(client, topic, subscription, "", "")
            await broker.put(topic, {})
            await broker.put(subscription, {"topic": topic})
            assert [(await broker.publish("A" * 1600)).status_code for _ in range(2)] == [200, 429]
            (received,) = await broker.pull(subscription)
            await client.post(f"/v1/{subscription}:acknowledge", json={"ackIds": [received["ackId"]]})
            assert (await broker.publish("A" * 1600)).status_code == 200
