"""What all contenders share: one Valkey, a Gemini that takes no time, a topic that takes everything."""

from __future__ import annotations

import base64
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.pictures import png
from bench.questions import PICTURE_BASE64
from bench.servers import LOAD_CORE, a_valkey, free_port, running

JOB_PICTURE = base64.b64encode(png(1024, 3)).decode()
_SAID = {
    "title": "A boat",
    "style": "flat",
    "palette": ["#1d1d1d", "#099268"],
    "background": "white",
    "notes": "Cleaned.",
}


@contextmanager
def world(picture_base64: str = PICTURE_BASE64) -> Iterator[dict[str, str]]:
    """Yield the environment by which a contender finds these; Gemini always answers with this picture."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        valkey = stack.enter_context(a_valkey())
        gemini = _fixed(stack, folder / "gemini.json", _gemini_answer(picture_base64))
        pubsub = _fixed(stack, folder / "pubsub.json", {"messageIds": ["1"]})
        yield {
            "REDIS_URL": f"redis://127.0.0.1:{valkey.port}/0",
            "GEMINI_API_KEY": "none",
            "GEMINI_BASE_URL": f"http://127.0.0.1:{gemini}",
            "PUBSUB_URL": f"http://127.0.0.1:{pubsub}",
            "PUBSUB_TOPIC": "projects/bench/topics/jobs",
        }


def _gemini_answer(picture_base64: str) -> dict[str, object]:
    picture = {"inlineData": {"mimeType": "image/png", "data": picture_base64}}
    content = {"role": "model", "parts": [{"text": json.dumps(_SAID)}, picture]}
    return {"candidates": [{"content": content, "finishReason": "STOP"}], "usageMetadata": {"totalTokenCount": 1}}


def _fixed(stack: ExitStack, file: Path, answer: dict[str, object]) -> int:
    file.write_text(json.dumps(answer))
    port = free_port()
    command = [sys.executable, "-m", "bench.fixed", "--port", str(port), "--answer", str(file)]
    stack.enter_context(running(command, port, LOAD_CORE, {}))
    return port
