"""Whether a request of legal size ever keeps the others waiting: the event loop's longest pause, from outside."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

from bench import contenders, questions
from bench.contenders import SERVICE
from bench.load import Connection, post
from bench.pictures import png
from bench.servers import SERVER_CORE, free_port, running
from bench.world import world

LONGEST_MS = 100.0
TIMES = 5
PROBE_PAUSE_S = 0.002
_PROBE = b"GET /up HTTP/1.1\r\nhost: bench\r\n\r\n"


def measure() -> dict[str, float]:
    """Return for each kind of request the longest wait of a neighbour's `/up` over several tries, in ms."""
    (service,) = contenders.contenders((SERVICE,))
    port, waited = free_port(), {}
    with world() as addresses, running(service.command(port), port, SERVER_CORE, {**addresses, **service.environment}):
        client = Connection(port)
        client.ask(post(questions.improve("title")))  # imports happen once and must not count
        client.ask(post(questions.improve("title", variant=questions.NEVER_DRAWN, later=True)))
        with Neighbour(port) as neighbour:
            for name, bodies in _legal():
                waited[name] = max(neighbour.waited_ms(partial(client.ask, post(body))) for body in bodies)
    return waited


class Neighbour:
    """Asks for `/up` all the time, over a connection of its own."""

    def __init__(self, port: int) -> None:
        self._port, self._longest_ms, self._ends = port, 0.0, False
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Neighbour:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends = True
        self._thread.join()

    def waited_ms(self, act: Callable[[], object]) -> float:
        """Return the longest wait while `act` ran."""
        self._longest_ms = 0.0
        act()
        time.sleep(PROBE_PAUSE_S * 5)
        return self._longest_ms

    def _ask(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not self._ends:
                began = time.perf_counter()
                connection.sendall(_PROBE)
                connection.recv(4096)
                self._longest_ms = max(self._longest_ms, (time.perf_counter() - began) * 1000)
                time.sleep(PROBE_PAUSE_S)


def _legal() -> Iterator[tuple[str, list[bytes]]]:
    """Yield requests at the limits, all different, so that nothing is a hit."""
    largest = 5 * 1024 * 1024 - 64 * 1024
    seeds = range(9000, 9000 + TIMES)
    sketches = [base64.b64encode(png(largest, seed)).decode() for seed in seeds]
    small = [base64.b64encode(png(1024, seed)).decode() for seed in seeds]
    svg = "<svg>" + "é" * (128 * 1024 - 6)  # two bytes each, and not in ASCII
    marks = "<svg>" + "a\u0323\u0307" * 40_000  # letters that NFC puts together
    yield "5 MiB sketch, drawn", [questions.improve("imageBase64", each) for each in sketches]
    yield (
        "5 MiB sketch, enqueued",
        [questions.improve("title", each, variant=1, later=True) for each in sketches],
    )
    yield "256 KiB of svg, drawn", [questions.improve("imageBase64", each, svg=svg) for each in small]
    yield "svg of many accents, drawn", [questions.improve("title", each, svg=marks) for each in small]
    yield (
        "base64 and 11 MiB of blanks, drawn",
        [questions.improve("title", each + " " * (11 * 1024**2)) for each in small],
    )
    yield "document of 16 KiB", [_document(" " * (16 * 1024 - 40) + f"a{seed}: __typename") for seed in seeds]
    yield "document of 1,000 tokens", [_document(f"a{seed}: __typename " + _many_fields()) for seed in seeds]
    yield "variables that do not fit", [_misfit() for _ in seeds]
    yield "variables of 20,000 names", [_names() for _ in seeds]


def _document(selection: str) -> bytes:
    return json.dumps({"query": f"{{ {selection} }}"}).encode()


def _many_fields() -> str:
    status = 'improveSketchStatus(requestId: "%d") { status attempt result { title style palette } }'
    return " ".join(f"b{number}: {status % number}" for number in range(14)) + " " + "__typename " * 15


def _names() -> bytes:
    return json.dumps({"query": "{ __typename }", "variables": {f"n{number}": 1 for number in range(19_990)}}).encode()


def _misfit() -> bytes:
    query = "query($ids: [String!]!) { __typename }"
    return json.dumps({"query": query, "variables": {"ids": [1] * 299_000}}).encode()
