"""Calls of google-genai as its documentation sets them up, one by one: the least that a job with it can take."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time

from google.genai import Client
from google.genai.types import GenerateContentConfig, HttpOptions, Part

CALLS = 400
CONFIG = GenerateContentConfig(
    system_instruction="Redraw the sketch.", temperature=0.2, response_modalities=["TEXT", "IMAGE"]
)


async def p50_ms(png: bytes) -> float:
    """Return the median of the later half of the calls: the first ones load what they need."""
    client = Client(api_key="none", http_options=HttpOptions(base_url=os.environ["GEMINI_BASE_URL"]))
    taken_ms = []
    for _ in range(CALLS):
        began_s = time.perf_counter()
        sketch = Part.from_bytes(data=png, mime_type="image/png")
        await client.aio.models.generate_content(model="any", contents=[sketch, "A boat."], config=CONFIG)
        taken_ms.append((time.perf_counter() - began_s) * 1000)
    return statistics.median(taken_ms[CALLS // 2 :])


if __name__ == "__main__":
    print(asyncio.run(p50_ms(sys.stdin.buffer.read())))
