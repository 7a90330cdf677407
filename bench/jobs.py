"""Jobs a second on one core: pushes settled by the worker, beside no-op jobs of the job queues that people use."""

from __future__ import annotations

import base64
import itertools
import json
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import redis
from rubydraw import keys

from bench import environments, load
from bench.contenders import SERVICE, function, own_bin
from bench.environments import PEERS
from bench.load import Load, post
from bench.pictures import png
from bench.servers import ROOT, SERVER_CORE, UNLIMITED, a_valkey, free_port, machine, running
from bench.world import JOB_PICTURE, world

SKETCH_BYTES = 1024
NO_OPS = 2_000
LONGEST_S = 120.0
TASKIQ, DRAMATIQ, CELERY = "taskiq, no-op", "dramatiq, no-op", "Celery, no-op"
_WORKERS = {
    TASKIQ: ("taskiq", ["taskiq", "worker", "--workers", "1", "taskiq_jobs:broker"]),
    DRAMATIQ: ("dramatiq", ["dramatiq", "--processes", "1", "dramatiq_jobs"]),
    CELERY: ("celery", ["celery", "--app", "celery_jobs", "worker", "--concurrency", "1", "--loglevel", "ERROR"]),
}


@dataclass(frozen=True, slots=True)
class Jobs:
    """
    Rates by name, round by round, and how long pushes to this service took: `pushed` eight at once, `alone` one by one.

    `calls_ms`: what a call of google-genai takes by itself, p50 by round.
    """

    rates: dict[str, list[float]]
    pushed: list[Load]
    alone: list[Load]
    cpu_ms: list[float]
    calls_ms: list[float]

    def rate(self, name: str) -> float:
        return statistics.median(self.rates[name])


def measure(peers: tuple[str, ...], *, rounds: int, run_s: float) -> Jobs:
    jobs = Jobs({name: [] for name in (SERVICE, *peers)}, [], [], [], [])
    for round_ in range(rounds):
        _push(jobs, run_s)
        jobs.calls_ms.append(sdk_call_ms())
        for name in peers:
            jobs.rates[name].append(no_ops_per_s(name))
        print(f"jobs: round {round_ + 1} of {rounds}", file=sys.stderr)
    return jobs


def pushes() -> Iterator[bytes]:
    """Yield deliveries of jobs that nobody has seen before, as Pub/Sub pushes them."""
    for seed in itertools.count():
        head = json.dumps({"schema": 1, "svg": "", "hints": "", "variant": 0}).encode()
        data = base64.b64encode(head + b"\n" + png(SKETCH_BYTES, seed)).decode()
        created_at = str(time.time_ns() // 1_000_000)
        attributes = {"request_id": str(uuid.uuid4()), "created_at": created_at, "generation": "0", "digest": "-"}
        yield json.dumps({"message": {"data": data, "attributes": attributes, "messageId": str(seed)}}).encode()


def _push(jobs: Jobs, run_s: float) -> None:
    """Push for a while to one worker; end the measurement on an answer other than 204, or where a job drew nothing."""
    port = free_port()
    command = function(own_bin(), "worker", ROOT / "functions/worker/main.py")(port)
    requests = map(post, pushes())
    with world(JOB_PICTURE) as addresses, running(command, port, SERVER_CORE, addresses | UNLIMITED) as server:
        warm_up = load.run(port, lambda: next(requests), _empty, clients=8, for_s=run_s / 2)
        began_cpu_s = server.cpu_s()
        jobs.pushed.append(load.run(port, lambda: next(requests), _empty, clients=8, for_s=run_s))
        jobs.cpu_ms.append((server.cpu_s() - began_cpu_s) * 1000 / len(jobs.pushed[-1].latencies_ms))
        jobs.alone.append(load.run(port, lambda: next(requests), _empty, clients=1, for_s=run_s))
        settled = sum(len(each.latencies_ms) for each in (warm_up, jobs.pushed[-1], jobs.alone[-1]))
        if (drawn := _drawings(addresses["REDIS_URL"])) != settled:
            raise SystemExit(f"of {settled} jobs that were settled only {drawn} have a drawing")
    jobs.rates[SERVICE].append(jobs.pushed[-1].answers_per_s)


def _drawings(redis_url: str) -> int:
    """Return how many drawings are stored: each job has its own sketch, and a failed job is answered with 204, too."""
    return sum(1 for _ in redis.Redis.from_url(redis_url).scan_iter(keys.result("*"), count=10_000))


def _empty(body: memoryview) -> bool:
    return not body


def sdk_call_ms() -> float:
    """Return what a call of google-genai takes on the core of the servers, with the Gemini of the jobs."""
    command = ["taskset", "--cpu-list", str(SERVER_CORE), str(own_bin() / "python"), str(PEERS / "sdk_calls.py")]
    with world(JOB_PICTURE) as addresses:
        return float(subprocess.check_output(command, env={**machine(), **addresses}, input=png(SKETCH_BYTES, 1)))


def no_ops_per_s(name: str) -> float:
    """Queue no-ops, then start one worker on one core; return the rate between its first and its last job."""
    module, command = _WORKERS[name]
    programs = environments.python(module)
    with a_valkey() as valkey:
        address = f"redis://127.0.0.1:{valkey.port}/0"
        environment = {**machine(), "REDIS_URL": address, "PYTHONPATH": str(PEERS)}
        queue = [str(programs / "python"), str(PEERS / f"{module}_jobs.py"), str(NO_OPS)]
        subprocess.run(queue, env=environment, check=True)
        words = [str(programs / command[0]), *command[1:]]
        store = redis.Redis.from_url(address)
        with running(words, valkey.port, SERVER_CORE, {"REDIS_URL": address, "PYTHONPATH": str(PEERS)}):
            end_s = time.monotonic() + LONGEST_S
            while (rate := store.get("bench:jobs_per_s")) is None:
                if time.monotonic() > end_s:
                    raise SystemExit(f"{name} did not do {NO_OPS} jobs within {LONGEST_S:.0f} s")
                time.sleep(0.1)
            return float(rate)
