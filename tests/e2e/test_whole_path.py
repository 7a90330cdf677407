"""The whole laptop from the outside: a sketch comes back drawn, at once or later, whatever dies on the way."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Laptop, laptop
from tests.e2e.sketch_client import SketchClient, client_of

HINTS, SVG = "canary hints", "<svg><!-- canary svg --></svg>"


@pytest.fixture(scope="module")
def quick_laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """One whose leases lapse soon after their holder died."""
    settings = {"LEASE_MS": "600", "HEARTBEAT_MS": "200"}
    with laptop(tmp_path_factory.mktemp("laptop"), **settings) as running:
        assert running.endpoint
        yield running


@pytest.fixture
async def client(quick_laptop: Laptop) -> AsyncIterator[SketchClient]:
    async with client_of(quick_laptop.addresses) as client:
        await client.no_faults()
        yield client
        await client.no_faults()
        await client.release()


def log_lines(running: Laptop) -> list[tuple[str, dict[str, Any]]]:
    """Part and fields of each structured line so far."""
    split = [line.partition("| ") for line in running.logs]
    return [(part.strip(), json.loads(text)) for part, _, text in split if text.startswith("{")]


async def test_sketch_is_drawn_once_and_then_a_hit(client: SketchClient) -> None:
    """The example's drawing, with one call of Gemini."""
    before = await client.calls()
    first, again = await client.improve(variant=11), await client.improve(variant=11)
    assert ["MISS", "HIT"] == [payload["result"]["provenance"]["cache"] for payload in (first, again)]
    assert base64.b64decode(first["result"]["imageBase64"]).startswith(b"\x89PNG")
    assert 1 == await client.calls() - before


async def test_job_goes_round_and_its_times_rise(client: SketchClient) -> None:
    """Queued or running, then done; accepted at one moment, changed at rising ones."""
    await client.faults({"kind": "hold"})
    request_id = await client.submit(variant=12)
    seen = [await client.status(request_id)]
    await client.waiting(1)
    seen.append(await client.status(request_id))
    await client.release()
    seen.append(await client.settled(request_id))
    assert [{"queued", "running"}, {"running"}, {"done"}] >= [{state["status"]} for state in seen]
    assert 1 == len({state["createdAt"] for state in seen})
    updates = [state["updatedAt"] for state in seen]
    assert sorted(updates) == updates
    assert seen[0]["createdAt"] <= updates[0] < updates[-1]
    assert "MISS" == seen[-1]["result"]["provenance"]["cache"]


async def test_worker_killed_in_mid_call_costs_one_more_call(client: SketchClient, quick_laptop: Laptop) -> None:
    """The job is redelivered, taken over when the dead one's lease has lapsed, and done at the second attempt."""
    before = await client.calls()
    await client.faults({"kind": "hold"})
    request_id = await client.submit(variant=13)
    await client.waiting(1)
    accepted = await client.status(request_id)
    for pid in quick_laptop.processes("--target worker"):
        os.kill(pid, signal.SIGKILL)
    done = await client.settled(request_id)
    assert ("done", 2, accepted["createdAt"]) == (done["status"], done["attempt"], done["createdAt"])
    assert 2 == await client.calls() - before
    assert "HIT" == (await client.improve(variant=13))["result"]["provenance"]["cache"]


async def test_one_trace_runs_through_both_functions(client: SketchClient, quick_laptop: Laptop) -> None:
    """From the submit to the end of the job; a line that says `job.completed` closes it."""
    request_id = await client.submit(variant=14)
    await client.settled(request_id)

    def lines_of(part: str) -> list[dict[str, Any]]:
        return [
            fields
            for name, fields in log_lines(quick_laptop)
            if name == part and fields.get("request_id") == request_id
        ]

    await asyncio.to_thread(
        quick_laptop.until, lambda: any(line["message"] == "job.completed" for line in lines_of("worker"))
    )
    [trace] = {line["trace"] for part in ("graphql", "worker") for line in lines_of(part)}
    assert re.fullmatch(r"[0-9a-f]{32}", trace)
    assert "job.submitted" in [line["message"] for line in lines_of("graphql")]
    assert f"projects/laptop/traces/{trace}" == lines_of("worker")[0]["logging.googleapis.com/trace"]


async def test_nothing_that_a_client_sent_is_logged(client: SketchClient, quick_laptop: Laptop) -> None:
    """Neither words nor picture nor key nor address, on the good path and on the bad ones."""
    words: dict[str, Any] = {"hints": HINTS, "svg": SVG, "clientMutationId": "canary mutation"}
    await client.settled(await client.submit(variant=15, idempotencyKey="canary-key", **words))
    await client.improve(variant=15, **words)
    faults: list[dict[str, Any]] = [{"kind": "status", "status": 500}, {"kind": "refuse"}, {"kind": "garbage"}]
    await client.faults(*faults)
    for variant in (16, 17, 18):
        assert (await client.improve(variant=variant, **words))["problem"]
    await client.improve(pngBase64="canary no base64", **words)
    request_id = await client.submit(variant=20, **words)
    await client.settled(request_id)
    logged = "\n".join(quick_laptop.logs)
    assert request_id in logged
    assert "canary" not in logged
    assert None is re.search(r"[A-Za-z0-9+/_-]{200}", logged)
    assert "iVBORw0KGgo" not in logged
    assert ("redis://" in logged, '"laptop"' in logged, "Traceback" in logged) == (False, False, False)
