"""How long it takes from the start of a process to its first answer, side by side with a hello world.

Rounds are interleaved, each process alone and fresh, bytecode warm as the platform's build leaves it.
`python -m bench.cold --imports` lists instead what the functions import, and how long that takes.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench import imports, report
from bench.contenders import function, own_bin
from bench.servers import ALLOCATOR, ROOT, SERVER_CORE, UNLIMITED, free_port, running
from bench.world import world

HELLO = """\
import functions_framework.aio

@functions_framework.aio.http
async def hello(request):
    return "hello"
"""
IMPROVE = "mutation($input: ImproveSketchInput!) { improveSketch(input: $input) { errors result { title } } }"
ANSWER_S = 30.0
SKETCH = (ROOT / "examples/house.png").read_bytes()


@dataclass(frozen=True, slots=True)
class Start:
    """A function, and the first request that it has to answer."""

    target: str
    source: Path
    request: Callable[[], bytes | None]


def typename() -> bytes:
    return b'{"query": "{ __typename }"}'


def hit() -> bytes:
    variables = {"input": {"pngBase64": base64.b64encode(SKETCH).decode()}}
    return json.dumps({"query": IMPROVE, "variables": variables}).encode()


def push() -> bytes:
    """Return the delivery of a job that nobody has seen, for the sketch whose drawing is kept."""
    head = json.dumps({"schema": 1, "svg": "", "hints": "", "variant": 0}).encode()
    created_at = str(time.time_ns() // 1_000_000)
    attributes = {"request_id": str(uuid.uuid4()), "created_at": created_at, "generation": "0"}
    message = {"data": base64.b64encode(head + b"\n" + SKETCH).decode(), "attributes": attributes, "messageId": "1"}
    return json.dumps({"message": message}).encode()


def measure(rounds: int) -> dict[str, list[float]]:
    """Return the ms of each round by name, the hello world first."""
    with tempfile.TemporaryDirectory() as folder, world() as addresses:
        hello = Path(folder) / "main.py"
        hello.write_text(HELLO)
        graphql, worker = ROOT / "functions/graphql/main.py", ROOT / "functions/worker/main.py"
        starts = {
            "a hello world": Start("hello", hello, lambda: None),
            "{ __typename }": Start("graphql", graphql, typename),
            "a cached hit": Start("graphql", graphql, hit),
            "a push that is a hit": Start("worker", worker, push),
        }
        environment = {**addresses, **UNLIMITED, **ALLOCATOR, "ACCESS": "off", "LOG_LEVEL": "ERROR"}
        for start in starts.values():  # warm: bytecode, disk cache, and the drawing that will be a hit
            first_answer_ms(start, environment)
        taken_ms: dict[str, list[float]] = {name: [] for name in starts}
        for round_ in range(rounds):
            for name, start in starts.items():
                taken_ms[name].append(first_answer_ms(start, environment))
            print(f"cold starts: round {round_ + 1} of {rounds}", file=sys.stderr)
        return taken_ms


def first_answer_ms(start: Start, environment: dict[str, str]) -> float:
    """Start a function, ask until its port is open, and return the ms from the start to the whole answer."""
    port = free_port()
    command = function(own_bin(), start.target, start.source)(port)
    began = time.monotonic()
    with running(command, port, SERVER_CORE, environment, wait=False):
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/", start.request(), {"content-type": "application/json"}
        )
        while time.monotonic() - began < ANSWER_S:
            with suppress(OSError), urllib.request.urlopen(asked, timeout=ANSWER_S) as answer:  # noqa: S310
                answer.read()
                return (time.monotonic() - began) * 1000
            time.sleep(0.002)
    raise SystemExit(f"{start.target} did not answer within {ANSWER_S:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cold", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--imports", action="store_true", help="list the imports of both functions")
    options = parser.parse_args()
    if options.imports:
        for target in ("graphql", "worker"):
            print(f"{target}\n{report.imports(imports.of(target))}\n")
        return
    taken_ms = measure(options.rounds)
    print(report.starts(taken_ms))


if __name__ == "__main__":
    main()
