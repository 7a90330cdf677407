"""The documents and bodies that are sent to every contender, and what an answer must hold."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bench.pictures import png

SKETCH_BYTES, PICTURE_BYTES = 100 * 1024, 1024 * 1024
SKETCH, PICTURE = png(SKETCH_BYTES, 1), png(PICTURE_BYTES, 2)
SKETCH_BASE64, PICTURE_BASE64 = base64.b64encode(SKETCH).decode(), base64.b64encode(PICTURE).decode()
NEVER_DRAWN = 7
"""The variant that is enqueued: no worker runs, so it is never a hit."""

_WORDS = "mimeType title style palette background notes provenance { cache model promptVersion createdAt providerMs }"
_IMPROVE = "mutation($input: ImproveSketchInput!) { improveSketch(input: $input) { requestId errors result { %s } } }"
_STATUS = """query($id: String!) {
  improveSketchStatus(requestId: $id) { requestId status attempt createdAt updatedAt result { %s } }
}"""
WITH_PICTURE, WITHOUT_PICTURE = f"imageBase64 {_WORDS}", _WORDS

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """`bodies` yields request bodies for a job's id; `holds` says whether a parsed answer is right."""

    name: str
    bodies: Callable[[str], Iterator[bytes]]
    holds: Callable[[Answer], bool]
    clients: int = 8


def improve(selection: str, png_base64: str = SKETCH_BASE64, *, later: bool = False, **input: Any) -> bytes:
    variables = {"input": {"pngBase64": png_base64, "async": later, **input}}
    return json.dumps({"query": _IMPROVE % selection, "variables": variables}).encode()


def status(selection: str, request_id: str) -> bytes:
    return json.dumps({"query": _STATUS % selection, "variables": {"id": request_id}}).encode()


def cases() -> list[Case]:
    """Return the cases in the order of the report."""
    return [
        Case("cached hit, 1 MB picture", lambda _: _same(improve(WITH_PICTURE)), _drawn("HIT")),
        Case("cached hit, no picture", lambda _: _same(improve(WITHOUT_PICTURE)), _drawn("HIT", picture=False)),
        Case("status done, 1 MB picture", lambda id_: _same(status(WITH_PICTURE, id_)), _done()),
        Case("status done, no picture", lambda id_: _same(status(WITHOUT_PICTURE, id_)), _done(picture=False)),
        Case("{ __typename }", lambda _: _same(b'{"query": "{ __typename }"}'), lambda a: a["__typename"] == "Query"),
        Case("enqueue", lambda _: _same(improve("title", variant=NEVER_DRAWN, later=True)), _enqueued),
        Case("enqueue, one client", lambda _: _same(improve("title", variant=NEVER_DRAWN, later=True)),
             _enqueued, clients=1),
        Case("miss, Gemini takes 0 ms", lambda _: _sketches(), _drawn("MISS")),
    ]  # fmt: skip


_seeds = itertools.count(1000)


def _same(body: bytes) -> Iterator[bytes]:
    return itertools.repeat(body)


def _sketches() -> Iterator[bytes]:
    """Yield sketches that nobody has ever drawn."""
    while True:
        yield improve(WITH_PICTURE, base64.b64encode(png(SKETCH_BYTES, next(_seeds))).decode())


def _drawn(outcome: str, *, picture: bool = True) -> Callable[[Answer], bool]:
    def holds(answer: Answer) -> bool:
        payload = answer["improveSketch"]
        return payload["errors"] == [] and _is_result(payload["result"], outcome, picture)

    return holds


def _done(*, picture: bool = True) -> Callable[[Answer], bool]:
    def holds(answer: Answer) -> bool:
        state = answer["improveSketchStatus"]
        return bool(state["status"] == "done") and _is_result(state["result"], "HIT", picture)

    return holds


def _is_result(result: Answer, outcome: str, picture: bool) -> bool:
    shown = result.get("imageBase64") == (PICTURE_BASE64 if picture else None)
    return shown and result["provenance"]["cache"] == outcome and result["title"] == "A boat"


def _enqueued(answer: Answer) -> bool:
    return len(answer["improveSketch"]["requestId"]) == 36
