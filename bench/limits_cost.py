"""What access and limits cost a cached answer, side by side: `python -m bench.limits_cost`.

Three instances of the GraphQL function over one Valkey, all on the same core: open to everybody; the same with a
limit nobody reaches, counted by address; and with API keys and that limit. Rounds are interleaved, and all three are
started anew several times. The measure is an instance's CPU time per answer, which other processes on the machine
change least. Prints the answers per core relative to the open instance: the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from redis.asyncio import Redis
from rubydraw import api_keys
from rubydraw.png import SIGNATURE

from bench.servers import ROOT, UNLIMITED, free_port
from emulator import valkey

CORE = 0
CONNECTIONS = 8
KEY, ENTRY = api_keys.new("bench")
LIMITED = {"REQUESTS_PER_MINUTE": "1000000000"}
KEYED = {"ACCESS": "required", "API_KEYS": json.dumps([ENTRY.entry]), "IMAGE_SIGNING_KEY": KEY}
KINDS = {"open": {}, "limits": LIMITED, "access and limits": LIMITED | KEYED}
IMPROVE = "mutation($input: ImproveSketchInput!) { improveSketch(input: $input) { errors result { imageBase64 } } }"


def request(sketch: Path) -> bytes:
    png = base64.b64encode(sketch.read_bytes()).decode()
    body = json.dumps({"query": IMPROVE, "variables": {"input": {"pngBase64": png}}}).encode()
    fields = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nauthorization: Bearer {KEY}\r\n\r\n"
    return f"POST /graphql HTTP/1.1\r\nhost: x\r\n{fields}".encode() + body


@contextmanager
def running(command: list[str], settings: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | settings
    process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return head + await reader.readexactly(int(length.split(b":")[1]))


async def ask(port: int, sent: bytes, times: int) -> bytes:
    """Send so many requests over one connection; return the last answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    said = b""
    for _ in range(times):
        writer.write(sent)
        said = await answer(reader)
    writer.close()
    return said


async def until_up(port: int, sent: bytes) -> bytes:
    """Ask an instance that is still starting until it returns the drawing."""
    end_s = time.monotonic() + 60
    while True:
        try:
            return await ask(port, sent, 1)
        except OSError:
            if time.monotonic() > end_s:
                raise
            await asyncio.sleep(0.1)


async def enlarge(redis: int, image_bytes: int) -> None:
    """Replace the stand-in's picture by one as large as Gemini's are."""
    if not image_bytes:
        return
    async with Redis(port=redis) as client:
        async for key in client.scan_iter("improve_sketch:v1:*"):
            await client.hset(key, "image", SIGNATURE + os.urandom(image_bytes - len(SIGNATURE)))


def cpu_s(pid: int) -> float:
    """Time on a core of a process, its children and all their threads (Linux: proc(5), schedstat, in ns)."""
    pids = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    stats = [path.read_text() for each in pids for path in Path(f"/proc/{each}/task").glob("*/schedstat")]
    return sum(int(stat.split()[0]) for stat in stats) / 1e9


async def measure(starts: int, rounds: int, hits: int, sketch: Path, image_bytes: int) -> None:
    sent, redis, gemini = request(sketch), free_port(), free_port()
    took: dict[str, dict[str, list[float]]] = {name: {"cpu": [], "wall": []} for name in KINDS}
    with ExitStack() as stack:
        stack.enter_context(running(list(valkey.command(redis)), {}))
        stack.enter_context(running([sys.executable, "-m", "emulator.gemini", "--port", str(gemini)], {}))
        shared = UNLIMITED | {
            "REDIS_URL": f"redis://127.0.0.1:{redis}/0",
            "GEMINI_API_KEY": "k",
            "GEMINI_BASE_URL": f"http://127.0.0.1:{gemini}",
            "ACCESS": "off",
            "LOG_LEVEL": "WARNING",
        }
        with instance(shared) as (port, _):  # it alone loads what a call needs; no measured instance does
            await until_up(port, sent)
            await enlarge(redis, image_bytes)
        for start in range(starts):  # no two processes are equally fast, whatever they run
            kinds = [*KINDS][start % 3 :] + [*KINDS][: start % 3]
            await compare(kinds, shared, sent, rounds, hits, took)
    for name in KINDS:
        by_cpu, by_rate = (
            statistics.median(one / other for one, other in zip(took["open"][what], took[name][what], strict=True))
            for what in ("cpu", "wall")
        )
        cpu_us = statistics.median(took[name]["cpu"])
        print(f"{name:17} {cpu_us:5.0f} µs of CPU a hit; answers beside the open one: {by_cpu:.3f} by CPU, "
              f"{by_rate:.3f} by rate")  # fmt: skip


async def compare(
    kinds: list[str],
    shared: dict[str, str],
    sent: bytes,
    rounds: int,
    hits: int,
    took: dict[str, dict[str, list[float]]],
) -> None:
    """Start one instance of each kind, in this order, and ask them in turn."""
    each = hits // CONNECTIONS
    with ExitStack() as stack:
        instances = {}
        for name in kinds:
            port, pid = instances[name] = stack.enter_context(instance(shared | KINDS[name]))
            await until_up(port, sent)
            said = await ask(port, sent, 100)
            if b'"errors":[]' not in said or (b"ratelimit:" in said.lower()) != (name != "open"):
                raise SystemExit(f"the instance with {name} answers {said[:300]!r}")
        for number in range(rounds):
            for name in kinds[:: 1 if number % 2 else -1]:
                port, pid = instances[name]
                began_s, before_s = time.monotonic(), cpu_s(pid)
                await asyncio.gather(*(ask(port, sent, each) for _ in range(CONNECTIONS)))
                took[name]["cpu"].append((cpu_s(pid) - before_s) / (each * CONNECTIONS) * 1e6)
                took[name]["wall"].append(time.monotonic() - began_s)


@contextmanager
def instance(settings: dict[str, str]) -> Iterator[tuple[int, int]]:
    """Start the GraphQL function; yield its port and process id."""
    port = free_port()
    framework = str(Path(sys.executable).with_name("functions-framework"))
    source = str(ROOT / "functions" / "graphql" / "main.py")
    function = [framework, "--target", "graphql", "--source", source, "--host", "127.0.0.1", "--port", str(port)]
    with running(["taskset", "-c", str(CORE), *function], settings) as process:
        yield port, process.pid


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--hits", type=int, default=160)
    parser.add_argument("--sketch", type=Path, default=ROOT / "examples" / "house.png")
    parser.add_argument("--image-bytes", type=int, default=0, help="size of the cached picture; 0: the stand-in's own")
    given = parser.parse_args()
    asyncio.run(measure(given.starts, given.rounds, given.hits, given.sketch, given.image_bytes))
