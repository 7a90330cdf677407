"""A stand-in for Pub/Sub: its REST API in front of a broker in memory, `python -m emulator.pubsub --port N`.

It speaks what the real service and Google's emulator speak, with three additions: `pushEndpoint` may name
several endpoints, separated by commas, which get the pushes in turn (the load balancer's work in the cloud);
`ackDeadlineSeconds` may be below 10; and `GET /stats` and `/faults` (see push.py) are for tests.
"""

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from emulator import pubsub_requests as requests
from emulator.broker import Broker, Delivery, Refusal, Subscription
from emulator.faults import Faults
from emulator.push import PubsubFault, Pusher

_PULL_WAIT_S = 1.0


class Rest:
    """Answers the requests of Pub/Sub's REST API."""

    def __init__(self, max_bytes: int, min_backoff_s: float) -> None:
        self.faults = Faults(PubsubFault)
        self.pusher = Pusher(self.faults)
        self._broker = Broker(self.pusher.push, max_bytes)
        self._min_backoff_s = min_backoff_s

    async def topic(self, request: Request) -> Response:
        name = requests.resource("projects/{project}/topics/{name}".format(**request.path_params))
        if request.method == "PUT":
            if name in self._broker.topics:
                raise Refusal(409, "ALREADY_EXISTS", "Topic already exists")
            self._broker.topics.add(name)
        if name not in self._broker.topics:
            raise Refusal(404, "NOT_FOUND", "Topic not found")
        if request.method == "DELETE":
            self._broker.topics.remove(name)
            return JSONResponse({})
        return JSONResponse({"name": name})

    async def publish(self, request: Request) -> Response:
        name = "projects/{project}/topics/{name}".format(**request.path_params)
        messages = requests.messages(await requests.body(request))
        if name not in self._broker.topics:
            raise Refusal(404, "NOT_FOUND", "Topic not found")
        fault = self.faults.take("deliver_first", "lose_answer", "refuse_publish")
        if fault and fault.kind == "refuse_publish":
            raise Refusal(fault.status, "PERMISSION_DENIED", "Refused by a scripted fault.")
        ids, pushed = self._broker.publish(name, messages)
        if fault and fault.kind == "deliver_first":
            await asyncio.gather(*(delivery.answered.wait() for delivery in pushed))
        if fault and fault.kind == "lose_answer":
            await _hang_up(request)
        return JSONResponse({"messageIds": ids})

    async def subscription(self, request: Request) -> Response:
        name = requests.resource("projects/{project}/subscriptions/{name}".format(**request.path_params))
        if request.method == "PUT":
            wanted = requests.subscription(name, await requests.body(request), self._min_backoff_s)
            if name in self._broker.subscriptions:
                raise Refusal(409, "ALREADY_EXISTS", "Subscription already exists")
            if wanted.topic not in self._broker.topics:
                raise Refusal(404, "NOT_FOUND", "Topic not found")
            self._broker.subscriptions[name] = wanted
        found = self._found(request)
        if request.method == "DELETE":
            self._broker.remove(found)
            return JSONResponse({})
        return JSONResponse(found.described)

    async def pull(self, request: Request) -> Response:
        body, subscription = await requests.body(request), self._found(request)
        if subscription.endpoints:
            raise Refusal(400, "FAILED_PRECONDITION", "A push subscription cannot be pulled from.")
        most = body.get("maxMessages")
        if not isinstance(most, int) or most < 1:
            raise requests.refuse("The value for max_messages must be greater than 0.")
        wait_s = 0.0 if body.get("returnImmediately") else _PULL_WAIT_S
        pulled = await self._broker.pull(subscription, most, wait_s)
        return JSONResponse({"receivedMessages": [_received(subscription, d) for d in pulled]} if pulled else {})

    async def acknowledge(self, request: Request) -> Response:
        ack_ids = requests.ack_ids(await requests.body(request))
        self._broker.acknowledge(self._found(request), ack_ids)
        return JSONResponse({})

    async def modify_ack_deadline(self, request: Request) -> Response:
        body = await requests.body(request)
        seconds = body.get("ackDeadlineSeconds", 0)
        if not isinstance(seconds, int) or not 0 <= seconds <= 600:
            raise requests.refuse(f"Invalid ack deadline given (ack_deadline_seconds={seconds}).")
        self._broker.postpone(self._found(request), requests.ack_ids(body), seconds)
        return JSONResponse({})

    async def up(self, _: Request) -> Response:
        """Answer as Google's emulator does when it is asked whether it is there."""
        return PlainTextResponse("Ok\n")

    async def stats(self, _: Request) -> Response:
        return JSONResponse(self._broker.stats())

    def _found(self, request: Request) -> Subscription:
        name = "projects/{project}/subscriptions/{name}".format(**request.path_params)
        if name not in self._broker.subscriptions:
            raise Refusal(404, "NOT_FOUND", f"Subscription does not exist (resource={name})")
        return self._broker.subscriptions[name]


def app(rest: Rest) -> Starlette:
    """The routes, and Google's form of an error."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await rest.pusher.close()

    topic, subscription = (
        "/v1/projects/{project}/topics/{name}",
        "/v1/projects/{project}/subscriptions/{name}",
    )
    routes = [
        Route(f"{topic}:publish", rest.publish, methods=["POST"]),
        Route(topic, rest.topic, methods=["GET", "PUT", "DELETE"]),
        Route(f"{subscription}:pull", rest.pull, methods=["POST"]),
        Route(f"{subscription}:acknowledge", rest.acknowledge, methods=["POST"]),
        Route(f"{subscription}:modifyAckDeadline", rest.modify_ack_deadline, methods=["POST"]),
        Route(subscription, rest.subscription, methods=["GET", "PUT", "DELETE"]),
        Route("/", rest.up),
        Route("/stats", rest.stats),
        *rest.faults.routes(),
    ]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={Refusal: _refused})


async def _refused(_: Request, refusal: Exception) -> Response:
    error = {name: getattr(refusal, name) for name in ("code", "message", "status")}
    return JSONResponse({"error": error}, error["code"])


def _received(subscription: Subscription, delivery: Delivery) -> dict[str, Any]:
    message = delivery.message
    fields = {"data": message.data, "attributes": message.attributes}
    received: dict[str, Any] = {
        "ackId": delivery.ack_id,
        "message": {name: value for name, value in fields.items() if value}
        | {"messageId": message.id, "publishTime": message.published_at},
    }
    if subscription.dead_letter_topic:
        received["deliveryAttempt"] = delivery.attempt
    return received


async def _hang_up(request: Request) -> None:
    """Close the connection before a byte of the answer is sent."""
    cycle: Any = request.receive.__self__  # type: ignore[attr-defined]  # uvicorn's; ASGI has no such verb
    cycle.transport.abort()
    await request.receive()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--min-backoff-s", type=float, default=0.5, help="first back-off of a subscription without a retry policy"
    )
    parser.add_argument(
        "--max-bytes", type=int, default=2**30, help="unacknowledged bytes above which publishing answers 429"
    )
    options = parser.parse_args()
    rest = Rest(options.max_bytes, options.min_backoff_s)
    uvicorn.run(app(rest), host="127.0.0.1", port=options.port, log_level="error", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
