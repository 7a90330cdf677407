"""The laptop's topics and subscriptions, set up over the REST API that the stand-in and Google's emulator share."""

from emulator.parts import CannotStart
from emulator.probe import request

PROJECT = "projects/laptop"
TOPIC = f"{PROJECT}/topics/improve-sketch"
DEAD_LETTER_TOPIC = f"{PROJECT}/topics/improve-sketch-dead"

_EXISTS = 409


async def set_up(broker: str, push_endpoint: str) -> None:
    """Create what Terraform creates in the cloud: jobs are pushed, dead letters kept until pulled.

    Raises CannotStart when the broker refuses.
    """
    push: dict[str, object] = {
        "topic": TOPIC,
        "pushConfig": {"pushEndpoint": push_endpoint},
        "ackDeadlineSeconds": 300,
        "retryPolicy": {"minimumBackoff": "0.5s", "maximumBackoff": "10s"},  # 10 and 600 s in the cloud
        "deadLetterPolicy": {"deadLetterTopic": DEAD_LETTER_TOPIC, "maxDeliveryAttempts": 20},
    }
    await _put(broker, TOPIC, {})
    await _put(broker, DEAD_LETTER_TOPIC, {})
    # The worker may have moved since an earlier run on the same broker: its subscription is made anew.
    jobs = f"{PROJECT}/subscriptions/improve-sketch"
    await request("DELETE", broker, f"/v1/{jobs}")
    await _put(broker, jobs, push)
    dead = {"topic": DEAD_LETTER_TOPIC, "ackDeadlineSeconds": 600}
    await _put(broker, f"{PROJECT}/subscriptions/improve-sketch-dead", dead)


async def _put(broker: str, name: str, body: object) -> None:
    status = await request("PUT", broker, f"/v1/{name}", body)
    if status not in (200, _EXISTS):
        raise CannotStart(f"the broker at {broker} answers {status} when asked to create {name}")
