"""The reference audits and the original front end's client library, against a running endpoint."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Node = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.node

# One transparent pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


def test_every_reference_audit_passes(node: Node, endpoint_url: str) -> None:
    """All 61 audits of graphql-http end in ok: no error, no warning, no notice."""
    finished = node("audits.mjs", endpoint_url)
    results = json.loads(finished.stdout)
    assert [] == [result for result in results if result["status"] != "ok"]
    assert (61, 0) == (len(results), finished.returncode)


def test_an_audit_that_fails_is_reported(node: Node, endpoint_url: str) -> None:
    """Where there is no endpoint the audits say so, by their results and by the exit status."""
    finished = node("audits.mjs", f"{endpoint_url}/nowhere")
    assert {"error", "warn", "notice"} <= {result["status"] for result in json.loads(finished.stdout)}
    assert 1 == finished.returncode


def test_the_original_front_end_gets_its_drawing(node: Node, endpoint_url: str, origin: str, tmp_path: Path) -> None:
    """Its mutation, sent unchanged by graphql-request, is answered with a drawing that its page may read."""
    sketch = tmp_path / "sketch.png"
    sketch.write_bytes(PNG)
    finished = node("graphql_request.mjs", endpoint_url, origin, str(sketch))
    assert (0, "") == (finished.returncode, finished.stderr)
    answer = json.loads(finished.stdout)
    assert (200, origin) == (answer["status"], answer["allowed"])
    payload = answer["data"]["improveSketch"]
    assert {"result", "errors"} == payload.keys()
    assert [] == payload["errors"]
    assert {"imageBase64", "title", "style", "palette", "background", "notes"} == payload["result"].keys()
    assert payload["result"]["imageBase64"]
