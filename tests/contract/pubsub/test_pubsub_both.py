"""What the product asks of a broker, of the stand-in and of Google's own emulator: the stand-in must not drift."""

import asyncio
import base64

from tests.contract.pubsub.sides import DATA, WAIT_S, Broker, Receiver, until


async def test_topic_is_created_found_refused_twice_and_deleted(either: Broker) -> None:
    """A topic's life answers what the real service answers."""
    assert (await either.put(either.topic, {})).json() == {"name": either.topic}
    assert (await either.client.get(f"/v1/{either.topic}")).json() == {"name": either.topic}
    again = await either.put(either.topic, {})
    assert (again.status_code, again.json()["error"]["status"]) == (409, "ALREADY_EXISTS")
    assert (await either.client.delete(f"/v1/{either.topic}")).json() == {}
    gone = await either.client.get(f"/v1/{either.topic}")
    expected = {"error": {"code": 404, "message": "Topic not found", "status": "NOT_FOUND"}}
    assert (gone.status_code, gone.json()) == (404, expected)


async def test_publish_to_a_missing_topic_is_404(either: Broker) -> None:
    """Nobody made the topic."""
    answer = await either.publish()
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "Topic not found")


async def test_empty_message_is_refused(either: Broker) -> None:
    """Neither data nor attributes: 400."""
    await either.put(either.topic, {})
    answer = await either.client.post(f"/v1/{either.topic}:publish", json={"messages": [{}]})
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


async def test_push_carries_exactly_the_real_envelope(either: Broker, receiver: Receiver) -> None:
    """Both spellings of id and time, data and attributes as published, and no attempt without a policy."""
    await either.push_to(receiver)
    (message_id,) = (await either.publish(request_id="r", traceparent="t")).json()["messageIds"]
    await until(lambda: len(receiver.pushes) == 1)
    push = receiver.pushes[0]
    published_at = push.body["message"]["publishTime"]
    expected = {
        "subscription": either.subscription,
        "message": {
            "data": DATA,
            "attributes": {"request_id": "r", "traceparent": "t"},
            "messageId": message_id,
            "message_id": message_id,
            "publishTime": published_at,
            "publish_time": published_at,
        },
    }
    assert expected == push.body
    assert push.headers["content-type"] == "application/json"
    assert published_at.endswith("Z")


async def test_url_safe_data_arrives_as_standard_base64(either: Broker, receiver: Receiver) -> None:
    """Either alphabet goes in; the standard one comes out. Attributes are there even where there are none."""
    await either.push_to(receiver)
    raw = b"\xff\xfe\xfd\xfb"
    await either.publish(base64.urlsafe_b64encode(raw).decode().rstrip("="))
    await until(lambda: len(receiver.pushes) == 1)
    message = receiver.pushes[0].body["message"]
    assert base64.b64encode(raw).decode() == message["data"]
    assert {} == message["attributes"]


async def test_failed_pushes_are_redelivered_until_one_is_acknowledged(either: Broker, receiver: Receiver) -> None:
    """500, 503 and 429 bring the same message again, 204 ends it."""
    receiver.statuses.extend([500, 503, 429])
    await either.push_to(receiver, **await either.bury())
    await either.publish(request_id="r")
    await until(lambda: len(receiver.pushes) == 4)
    assert 1 == len({(push.message_id, str(push.body["message"])) for push in receiver.pushes})
    await either.publish(request_id="next")
    await until(lambda: len(receiver.pushes) == 5)
    assert "next" == receiver.pushes[4].body["message"]["attributes"]["request_id"]


async def test_what_is_not_acknowledged_in_time_comes_again(
    either: Broker, receiver: Receiver, shortest_ack_deadline_s: float
) -> None:
    """A push without an answer is made again, and so is a message pulled by somebody who may have died."""
    within_s = shortest_ack_deadline_s + WAIT_S
    receiver.statuses.append(None)
    await either.push_to(receiver, ackDeadlineSeconds=shortest_ack_deadline_s)
    kept = {"topic": either.topic, "ackDeadlineSeconds": shortest_ack_deadline_s}
    (await either.put(either.dead_subscription, kept)).raise_for_status()
    await either.publish()
    (pulled,) = await either.pull_all(either.dead_subscription, 1)
    await until(lambda: len(receiver.pushes) == 2, within_s=within_s)
    assert receiver.pushes[0].message_id == receiver.pushes[1].message_id
    (again,) = await either.pull_all(either.dead_subscription, 1, within_s=within_s)
    assert pulled["message"] == again["message"]


async def test_last_attempt_goes_to_the_dead_letter_topic(either: Broker, receiver: Receiver) -> None:
    """After five pushes the message is retained as it was, with where it comes from."""
    receiver.statuses.extend([500] * 9)
    await either.push_to(receiver, **await either.bury())
    await either.publish(request_id="r")
    (received,) = await either.pull_all(either.dead_subscription, 1)
    message = received["message"]
    prefix = "CloudPubSubDeadLetterSource"
    expected = {
        "request_id": "r",
        f"{prefix}DeliveryCount": "5",
        f"{prefix}Subscription": either.subscription.rpartition("/")[2],
        f"{prefix}SubscriptionProject": "laptop",
        f"{prefix}TopicPublishTime": receiver.pushes[0].body["message"]["publishTime"],
    }
    assert (expected, DATA, 5) == (message["attributes"], message["data"], len(receiver.pushes))
    assert {"data", "attributes", "messageId", "publishTime"} == set(message)


async def test_all_of_many_messages_arrive_in_whatever_order(either: Broker, receiver: Receiver) -> None:
    """Some of them only when they are delivered again."""
    receiver.statuses.extend([503, 204] * 10)
    await either.push_to(receiver)
    names = {str(number) for number in range(30)}
    await asyncio.gather(*(either.publish(name=name) for name in names))
    await until(lambda: len(receiver.pushes) == 40)
    assert names == {push.body["message"]["attributes"]["name"] for push in receiver.pushes}


async def test_pulled_message_comes_back_until_acknowledged(either: Broker) -> None:
    """Handed back it is there again, under another ack id; acknowledged it is gone. What is empty is left out."""
    await either.retain()
    await either.publish(a="1")
    await either.publish()
    first = await either.pull_all(either.subscription, 2)
    assert await either.pull(either.subscription, wait=False) == []
    assert {"messageId", "publishTime", "data"} == set(first[0]["message"]) & set(first[1]["message"])
    await either.hand_back(*first)
    second = await either.pull_all(either.subscription, 2)
    assert sorted(map(str, (each["message"] for each in first))) == sorted(
        map(str, (each["message"] for each in second))
    )
    assert {each["ackId"] for each in first}.isdisjoint(each["ackId"] for each in second)
    await either.acknowledge(*second)
    await either.hand_back(*second)
    assert await either.pull(either.subscription, wait=False) == []


async def test_pull_brings_no_more_than_asked_for(either: Broker) -> None:
    """Many letters take many pulls, and each brings others."""
    await either.retain()
    for number in range(5):
        await either.publish(name=str(number))
    pulled = [await either.pull(either.subscription, 2, wait=False) for _ in range(4)]
    names = [each["message"]["attributes"]["name"] for received in pulled for each in received]
    assert (5, {"0", "1", "2", "3", "4"}) == (len(names), set(names))
    assert max(map(len, pulled)) <= 2


async def test_pull_without_such_a_subscription_is_404(either: Broker) -> None:
    """The operator is told that it is not there."""
    answer = await either.client.post(f"/v1/{either.subscription}:pull", json={"maxMessages": 1})
    assert (answer.status_code, answer.json()["error"]["status"]) == (404, "NOT_FOUND")
