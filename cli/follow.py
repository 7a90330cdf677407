"""A job's states until it is settled: streamed if the endpoint can stream, otherwise polled."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator

import httpx2

from cli.contract import Job, watching
from cli.endpoint import DocumentRefused, Endpoint
from cli.failure import Exit, Failure

SILENCE_S = 20.0
"""The longest silence of a stream: it sends something every 12 s, if only a ping."""
MAX_FAILURES = 6
LONGEST_PAUSE_S = 3.0
EVENT_STREAM = "text/event-stream"


class Follower:
    """Follows one job; a feature that the endpoint turned out to lack is not tried again."""

    def __init__(self, endpoint: Endpoint, request_id: str, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._endpoint, self._variables, self._pause = endpoint, {"id": request_id}, pause
        self._streams = self._estimates = True

    def states(self, *, known: bool = False) -> Iterator[Job]:
        """
        Yield each state up to a settled one; raise Failure when contact is lost for good.

        A first request that finds no endpoint fails at once, unless the endpoint is `known` to be there.
        """
        failures = 0
        for turn in itertools.count():
            wait_s = min(0.2 * 1.3**turn, LONGEST_PAUSE_S)
            try:
                for job in self._round():
                    failures, known = 0, True
                    yield job
                    if job.settled:
                        return
                    if job.poll_after_ms is not None:
                        wait_s = min(job.poll_after_ms / 1000, LONGEST_PAUSE_S)
            except Failure as failure:
                failures += 1
                lost = failure.status == Exit.NO_ENDPOINT and not known
                if lost or failure.status == Exit.REFUSED or failures > MAX_FAILURES:
                    raise
                wait_s = min(0.2 * 2**failures, LONGEST_PAUSE_S)
            self._pause(wait_s)

    def now(self) -> Job:
        """Return the current state."""
        return self._known_fields(self._ask)

    def _round(self) -> Iterator[Job]:
        """Yield the states that a stream sends while it lasts, then the state that a query returns."""
        if self._streams:
            yield from self._stream()
        yield self.now()

    def _ask(self) -> Job:
        return self._endpoint.ask(watching("query", with_estimates=self._estimates), self._variables, Job)

    def _known_fields(self, ask: Callable[[], Job]) -> Job:
        try:
            return ask()
        except DocumentRefused:
            if not self._estimates:
                raise
            self._estimates = False
            return ask()

    def _stream(self) -> Iterator[Job]:
        """Yield what a stream sends. A stream that breaks just ends; if it sent nothing, no other is opened."""
        told = False
        try:
            for job in self._told():
                told = True
                yield job
        except DocumentRefused:
            self._streams, self._estimates = self._estimates, False
        except Failure as failure:
            self._streams = told or failure.status == Exit.NO_ENDPOINT
        else:
            self._streams = told

    def _told(self) -> Iterator[Job]:
        query = watching("subscription", with_estimates=self._estimates)
        accept = f"{EVENT_STREAM}, application/json;q=0.1"
        with self._endpoint.open(query, self._variables, accept, SILENCE_S) as response:
            if not response.headers.get("content-type", "").startswith(EVENT_STREAM):
                return
            for event in httpx2.EventSource(response):
                if event.event == "complete":
                    return
                if event.event == "next":
                    yield self._endpoint.parse(event.data, Job, response)
