"""Following a job by stream and by asking, on an endpoint that is played: what is asked, and what is survived."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cli.endpoint import Endpoint
from cli.failure import Exit, Failure
from cli.follow import EVENT_STREAM, MAX_FAILURES, Follower
from tests.servers import free_port

ID = "11111111-1111-4111-8111-111111111111"
UNKNOWN_FIELD = {"errors": [{"message": "Cannot query field 'etaMs' on type 'ImproveSketchStatus'."}]}
NO_STREAMS = {"errors": [{"message": "Schema is not configured to execute subscription operation."}]}
BROKEN: list[Any] = []
"""A stream that ends without a word."""


def state(status: str, **fields: Any) -> dict[str, Any]:
    """A whole answer with a job in this state."""
    job = {"requestId": ID, "status": status, "attempt": 1, "maxAttempts": 3, **fields}
    return {"data": {"improveSketchStatus": job}}


class Played:
    """An endpoint that gives these answers in turn: a list is a stream of answers, a number a bare status."""

    def __init__(self) -> None:
        self.answers: deque[Any] = deque()
        self.asked: list[str] = []
        self.port = free_port()
        app = Starlette(routes=[Route("/graphql", self._answer, methods=["POST"])])
        self.server = uvicorn.Server(uvicorn.Config(app, port=self.port, log_level="critical"))

    def follow(self, *answers: Any) -> tuple[list[str], list[float]]:
        """The states of a job that is told so, and the pauses made."""
        self.answers.extend(answers)
        pauses: list[float] = []
        with closing(Endpoint(f"http://127.0.0.1:{self.port}/graphql")) as endpoint:
            follower = Follower(endpoint, ID, pause=pauses.append)
            return [job.status for job in follower.states(known=True)], pauses

    async def _answer(self, request: Request) -> Response:
        query: str = (await request.json())["query"]
        self.asked.append(query.split()[0] + (" with estimates" if "etaMs" in query else ""))
        answer = self.answers.popleft()
        if isinstance(answer, int):
            return Response(status_code=answer)
        if isinstance(answer, list):
            told = [f"event: next\ndata: {json.dumps(each)}\n\n" for each in answer]
            end = "event: complete\ndata:\n\n" if answer else ""
            return Response(":\n\n" + "".join(told) + end, media_type=EVENT_STREAM)
        return JSONResponse(answer)


@pytest.fixture
def played() -> Iterator[Played]:
    endpoint = Played()
    thread = threading.Thread(target=endpoint.server.run)
    thread.start()
    while not endpoint.server.started:
        time.sleep(0.01)
    yield endpoint
    endpoint.server.should_exit = True
    thread.join()


def test_stream_tells_all_in_one_request(played: Played) -> None:
    """Where there is a stream, nothing else is asked."""
    states, pauses = played.follow([state("queued"), state("running", etaMs=900), state("done")])
    assert (["queued", "running", "done"], []) == (states, pauses)
    assert ["subscription with estimates"] == played.asked


def test_endpoint_without_streams_is_asked(played: Played) -> None:
    """Found out once; the first and the later pauses are short, as nothing better is known."""
    states, pauses = played.follow(NO_STREAMS, state("queued"), state("running"), state("done"))
    assert ["queued", "running", "done"] == states
    assert [0.2, 0.26] == pauses
    assert ["subscription with estimates", *["query with estimates"] * 3] == played.asked


def test_endpoint_without_estimates(played: Played) -> None:
    """Both are found out once, each in its own way."""
    states, _ = played.follow(NO_STREAMS, UNKNOWN_FIELD, state("queued"), state("done"))
    assert ["queued", "done"] == states
    assert ["subscription with estimates", "query with estimates", "query", "query"] == played.asked


def test_stream_without_estimates(played: Played) -> None:
    """A stream that refuses the document is opened again with a plainer one."""
    states, _ = played.follow([UNKNOWN_FIELD], state("running"), [state("done")])
    assert ["running", "done"] == states
    assert ["subscription with estimates", "query", "subscription"] == played.asked


def test_pause_is_the_endpoints(played: Played) -> None:
    """It says when asking again makes sense, within limits."""
    answers = (state("queued", pollAfterMs=700), state("running", pollAfterMs=60_000), state("done"))
    _, pauses = played.follow(NO_STREAMS, *answers)
    assert [0.7, 3.0] == pauses


def test_stream_that_breaks_is_opened_again(played: Played) -> None:
    """In between the state is asked for, so that nothing is missed."""
    states, _ = played.follow([state("queued")], state("running"), [state("running"), state("done")])
    assert ["queued", "running", "running", "done"] == states
    assert ["subscription", "query", "subscription"] == [asked.split()[0] for asked in played.asked]


def test_stream_that_never_tells_is_the_last(played: Played) -> None:
    """A proxy that swallows streams is not asked for another one."""
    states, _ = played.follow(BROKEN, state("running"), state("done"))
    assert ["running", "done"] == states
    assert ["subscription", "query", "query"] == [asked.split()[0] for asked in played.asked]


def test_trouble_is_survived(played: Played) -> None:
    """An endpoint that fails for a while is asked again, ever more slowly."""
    states, pauses = played.follow(NO_STREAMS, 503, 502, state("running"), 503, state("done"))
    assert ["running", "done"] == states
    assert [0.4, 0.8, 0.4] == [pauses[0], pauses[1], pauses[3]]


def test_lost_contact_ends(played: Played) -> None:
    """After some failures in a row the last one is told."""
    with pytest.raises(Failure, match="status 503") as caught:
        played.follow(NO_STREAMS, *[503] * (MAX_FAILURES + 1))
    assert Exit.TRY_AGAIN == caught.value.status
    assert MAX_FAILURES + 2 == len(played.asked)


def test_endpoint_that_is_gone() -> None:
    """Unless the endpoint has answered before, one failed connection is enough."""
    pauses: list[float] = []
    follower = Follower(Endpoint(f"http://127.0.0.1:{free_port()}/graphql"), ID, pause=pauses.append)
    with pytest.raises(Failure, match="Nothing answers"):
        list(follower.states())
    assert [] == pauses
    with pytest.raises(Failure, match="Nothing answers"):
        list(follower.states(known=True))
    assert MAX_FAILURES == len(pauses)
