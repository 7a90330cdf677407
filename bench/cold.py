"""How long from the start of a process to its first answer, side by side with a hello world: `make bench`.

Rounds are interleaved, each process alone and fresh, bytecode warm as the platform's build leaves it. Prints medians
in ms and the ratio to the hello world of the same run, which is what can be compared between machines.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from emulator import valkey

ROOT = Path(__file__).resolve().parents[1]
HELLO = """\
import functions_framework.aio

@functions_framework.aio.http
async def hello(request):
    return "hello"
"""
IMPROVE = "mutation($input: ImproveSketchInput!) { improveSketch(input: $input) { errors result { title } } }"
STATUS_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def body(query: str, variables: dict[str, object] | None = None) -> bytes:
    return json.dumps({"query": query, "variables": variables or {}}).encode()


def push() -> bytes:
    """Return a delivery that cannot be read, which costs the worker one round trip and no job."""
    return json.dumps({"message": {"data": "", "attributes": {}, "messageId": "1"}}).encode()


@contextmanager
def function(target: str, source: Path, settings: dict[str, str]) -> Iterator[int]:
    """Run one function as the platform would; yield its port."""
    port = free_port()
    command = [str(Path(sys.executable).parent / "functions-framework"), "--target", target, "--source", str(source)]
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | settings
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(15)


def first_answer_ms(target: str, source: Path, settings: dict[str, str], request: bytes | None) -> float:
    """Start a function and repeat the request until it is answered; return the ms since the start."""
    began = time.monotonic()
    with function(target, source, settings) as port:
        headers = {"content-type": "application/json"}
        while time.monotonic() - began < STATUS_S:
            with suppress(OSError):
                asked = urllib.request.Request(f"http://127.0.0.1:{port}/", request, headers)
                with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
                    answer.read()
                    return (time.monotonic() - began) * 1000
            time.sleep(0.002)
    raise SystemExit(f"{target} did not answer within {STATUS_S:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cold", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    redis_port = free_port()
    redis = subprocess.Popen(valkey.command(redis_port), stdout=subprocess.DEVNULL)
    try:
        with tempfile.TemporaryDirectory() as folder:
            measure(rounds, redis_port, Path(folder))
    finally:
        redis.kill()
        redis.wait()


def measure(rounds: int, redis_port: int, folder: Path) -> None:
    hello = folder / "main.py"
    hello.write_text(HELLO)
    graphql, worker = ROOT / "functions/graphql/main.py", ROOT / "functions/worker/main.py"
    gemini_port = free_port()
    gemini = subprocess.Popen([sys.executable, "-m", "emulator.gemini", "--port", str(gemini_port)], cwd=ROOT)
    settings = {
        "ACCESS": "off",
        "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
        "GEMINI_API_KEY": "none",
        "GEMINI_BASE_URL": f"http://127.0.0.1:{gemini_port}",
        "LOG_LEVEL": "ERROR",
    }
    png = base64.b64encode((ROOT / "examples/house.png").read_bytes()).decode()
    hit = body(IMPROVE, {"input": {"pngBase64": png}})
    cases = {
        "hello world": ("hello", hello, {}, None),
        "{ __typename }": ("graphql", graphql, settings, body("{ __typename }")),
        "cached drawing": ("graphql", graphql, settings, hit),
        "worker, first push": ("worker", worker, settings, push()),
    }
    try:
        for case in cases.values():  # warm: bytecode, disk cache, and the drawing that will be a hit
            first_answer_ms(*case)
    finally:
        gemini.terminate()
        gemini.wait()
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            taken[name].append(first_answer_ms(*case))
    base = statistics.median(taken["hello world"])
    print(f"{'first answer of':<22}{'median ms':>10}{'min':>8}{'max':>8}{'ratio':>8}   ({rounds} rounds)")
    for name, values in taken.items():
        median = statistics.median(values)
        print(f"{name:<22}{median:>10.0f}{min(values):>8.0f}{max(values):>8.0f}{median / base:>8.2f}")


if __name__ == "__main__":
    main()
