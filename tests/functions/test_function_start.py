"""How the functions start: bad settings are one sentence, and slow imports wait until they are needed."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from rubydraw import keys

from tests.functions.deliveries import envelope
from tests.functions.sketch_service import IMPROVE, SketchService
from tests.servers import ROOT, WAIT_S, free_port, function_command, machine
from tests.sketches import job, png, sketch
from tests.stand_ins import GeminiStandIn, PubsubStandIn

# Serves requests in this interpreter and tells, after each, which modules are there.
_TELL_MODULES = """
import asyncio, json, sys
import httpx2
import uvicorn.protocols.http.httptools_impl, uvicorn_worker  # the server, which loads the function
from functions_framework.aio import create_asgi_app

async def main(name, bodies):
    before = {name.partition(".")[0] for name in sys.modules}
    app = create_asgi_app(name, f"functions/{name}/main.py")
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://function") as client:
        for body in json.loads(bodies):
            answer = await client.post("/graphql", json=body)
            packages = {name.partition(".")[0] for name in sys.modules} - before - sys.stdlib_module_names
            packages = {name for name in packages if not name.startswith("_")}
            told = {"body": answer.text, "modules": sorted(sys.modules), "packages": sorted(packages)}
            print("answer", json.dumps(told))

asyncio.run(main(*sys.argv[1:]))
"""
SLOW = ("google.genai", "PIL", "google.auth", "pydantic")
PAID_FOR = {
    *("graphql", "redis", "hiredis", "orjson", "pybase64", "cryptography", "rubydraw"),
}
"""Packages on the path of a hit (of cryptography its version alone). Another one would add to every cold start."""
PUBLISHING = {"httpcore2", "h11", "truststore"}
OWN = {name: {path.stem for path in (ROOT / "functions" / name).glob("*.py")} for name in ("graphql", "worker")}


def started(name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Start a function that is going to end by itself."""
    command = function_command(name, free_port())
    return subprocess.run(
        command, cwd=ROOT, env={**machine(), **environment}, capture_output=True, text=True, timeout=WAIT_S, check=False
    )


@pytest.mark.parametrize("name", ["graphql", "worker"])
def test_bad_settings_are_one_sentence_that_names_them_all(name: str) -> None:
    """Exit status 1, no traceback, and no value of a setting."""
    ended = started(
        name,
        REDIS_URL="http://user:canary-redis@example",
        GEMINI_MODE="canary-mode",
        LEASE_MS="canary-lease",
        PUBSUB_TOPIC="canary-topic",
        MAX_ATTEMPTS="0",
    )
    assert 1 == ended.returncode
    [sentence] = (ended.stdout + ended.stderr).splitlines()
    for variable in ("REDIS_URL", "GEMINI_MODE", "LEASE_MS", "PUBSUB_TOPIC", "MAX_ATTEMPTS"):
        assert variable in sentence
    assert "canary" not in sentence


def test_absent_settings_are_named_too() -> None:
    """An empty environment lacks exactly two."""
    ended = started("graphql")
    assert (1, "Settings that cannot be used: ") == (ended.returncode, ended.stderr[:30])
    assert ("REDIS_URL is missing" in ended.stderr, "GEMINI_API_KEY is missing" in ended.stderr) == (True, True)


async def test_hit_and_enqueue_import_nothing_slow(
    service: SketchService,
    environment: dict[str, str],
    raw: redis.asyncio.Redis,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
    tmp_path: Path,
) -> None:
    """Neither Gemini's SDK nor Pillow nor credentials are loaded for them, as for a miss, nor redis-py before them."""
    await service.improve(1)
    inputs = [
        {"pngBase64": base64.b64encode(png(1)).decode()},
        {"pngBase64": base64.b64encode(png(2)).decode(), "async": True},
        {"pngBase64": base64.b64encode(png(3)).decode()},
    ]
    bodies = [{"query": IMPROVE, "variables": {"input": input}} for input in inputs]
    first, *answers = await told("graphql", [{"query": "{ __typename }"}, *bodies], environment, tmp_path)
    assert (False, True) == ("redis" in first["packages"], "redis" in answers[0]["packages"])
    hit, enqueued, miss = (json.loads(answer["body"])["data"]["improveSketch"] for answer in answers)
    assert ("HIT", "MISS") == tuple(payload["result"]["provenance"]["cache"] for payload in (hit, miss))
    assert 1 == len(await pubsub_stand_in.pulled())
    assert enqueued["requestId"]
    slow = [[name for name in SLOW if name in answer["modules"]] for answer in answers]
    assert [[], []] == slow[:2]
    assert "google.genai" in slow[2]
    packages = [set(answer["packages"]) - OWN["graphql"] for answer in answers[:2]]
    # The last of them is asked for by httpcore2 on some versions of Python.
    assert [set(), PUBLISHING] == [packages[0] - PAID_FOR, packages[1] - packages[0] - {"typing_extensions"}]


async def test_push_that_is_a_hit_imports_nothing_slow(
    service: SketchService, environment: dict[str, str], raw: redis.asyncio.Redis, tmp_path: Path
) -> None:
    """The worker's first job costs no more than what it uses."""
    await service.improve(1)
    hit = job(sketch=sketch(1))
    (answer,) = await told("worker", [envelope(hit.data(), hit.attributes())], environment, tmp_path)
    assert [b"done", b"HIT"] == await raw.hmget(keys.status(hit.request_id), ["status", "outcome"])
    assert [] == [name for name in SLOW if name in answer["modules"]]
    assert set() == set(answer["packages"]) - PAID_FOR - OWN["worker"]


async def told(name: str, bodies: list[Any], environment: dict[str, str], folder: Path) -> list[dict[str, Any]]:
    """Send bodies to a function in a fresh interpreter; return what it tells after each."""
    script = folder / "tell_modules.py"
    script.write_text(_TELL_MODULES)
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, str(script), name, json.dumps(bodies)],
        cwd=ROOT, env={**machine(), **environment}, capture_output=True, text=True, timeout=WAIT_S, check=True,
    )  # fmt: skip
    return [json.loads(line[7:]) for line in ended.stdout.splitlines() if line.startswith("answer ")]
