"""What a delivery holds while its job waits: the sketch, and nothing of the envelope that it came in."""

from __future__ import annotations

import asyncio
import base64
import sys
import tracemalloc
from dataclasses import replace

import orjson
import pytest
from rubydraw.jobs.message import JobMessage
from rubydraw.settings import Settings
from rubydraw.sketch import Sketch
from rubydraw.work import Outcome
from starlette.requests import Request

from tests.sketches import job
from tests.unit.pngs import chunk, file, ihdr
from tests.unit.test_envelope import delivery

ENVIRONMENT = {"REDIS_URL": "redis://127.0.0.1:1/0", "GEMINI_API_KEY": "none"}
SKETCH_BYTES = 1_000_000
PNG = file(ihdr(), chunk(b"IDAT", bytes(SKETCH_BYTES)), chunk(b"IEND"))


def request() -> Request:
    """A push of one job."""
    sketch = Sketch.from_png(PNG, "", "", 0, max_png_bytes=2 * SKETCH_BYTES)
    pushed = replace(job(), sketch=sketch)
    message = {"data": base64.b64encode(pushed.data()).decode(), "attributes": pushed.attributes(), "messageId": "1"}
    bodies = [orjson.dumps({"message": message})]

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": bodies.pop(), "more_body": False}

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


async def test_waiting_job_holds_only_its_sketch() -> None:
    """Body, envelope and base64 are gone by the time that it waits."""
    waiting, over = asyncio.Event(), asyncio.Event()

    async def work(job: JobMessage) -> tuple[Outcome, str]:
        waiting.set()
        await over.wait()
        return Outcome.SETTLED, ""

    deliveries = delivery.Deliveries(work, None, None, Settings.from_env(ENVIRONMENT))
    tracemalloc.start()
    try:
        answering = asyncio.create_task(deliveries(request()))
        await waiting.wait()
        held = tracemalloc.take_snapshot().traces
    finally:
        tracemalloc.stop()
    over.set()
    assert 204 == (await answering).status_code
    assert [len(PNG)] == [trace.size - sys.getsizeof(b"") for trace in held if trace.size > SKETCH_BYTES // 10]


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes up the room of others."""
    monkeypatch.setattr(delivery, "BODY_S", 0.05)
    deliveries = delivery.Deliveries(None, None, None, Settings.from_env(ENVIRONMENT))
    silent = Request({"type": "http", "method": "POST", "headers": []}, asyncio.Future)
    assert 400 == (await deliveries(silent)).status_code
