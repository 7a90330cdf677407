"""The contract as this client sees it: what it asks for, and the shapes of what must come back."""

from __future__ import annotations

import base64
import unicodedata
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

_PROBLEM = "problem { code message retryable retryAfterSeconds }"
_DRAWING = """result { imageBase64 title style palette background notes
  provenance { cache model promptVersion createdAt providerMs } }"""
_JOB = f"requestId status error attempt maxAttempts createdAt updatedAt retryAt expiresAt {_PROBLEM}"

IMPROVE = f"""mutation Improve($input: ImproveSketchInput!) {{
  improveSketch(input: $input) {{ requestId errors {_PROBLEM} {_DRAWING} }} }}"""
DRAWING = f"""query Drawing($id: String!) {{
  improveSketchStatus(requestId: $id) {{ {_JOB} {_DRAWING} }} }}"""


def watching(kind: Literal["query", "subscription"], *, with_estimates: bool) -> str:
    """The document that asks for a job's state; older endpoints have no estimates."""
    fields = f"{_JOB} etaMs pollAfterMs" if with_estimates else _JOB
    return f"{kind} Watch($id: String!) {{ improveSketchStatus(requestId: $id) {{ {fields} }} }}"


def plain(text: str) -> str:
    """The text without characters that control a terminal or reverse the direction of text."""
    kept = (" " if character.isspace() else character for character in text)
    return "".join(character for character in kept if not unicodedata.category(character).startswith("C"))


def _png(value: Any) -> bytes:
    png = base64.b64decode(value, validate=True)
    if not png.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError("the picture is no PNG")
    return png


Plain = Annotated[str, AfterValidator(plain)]


class _Words(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True)


class Problem(_Words):
    """An expected failure, as the service tells it."""

    code: Plain
    message: Plain
    retryable: bool
    retry_after_seconds: float | None = None


class Provenance(_Words):
    """Where a drawing comes from."""

    cache: Plain
    model: Plain
    prompt_version: Plain
    created_at: Plain
    provider_ms: int


class Drawing(_Words):
    """A clean drawing and its metadata."""

    png: Annotated[bytes, BeforeValidator(_png)] = Field(alias="imageBase64", exclude=True, repr=False)
    title: Plain
    style: Plain
    palette: list[Plain]
    background: Plain
    notes: Plain
    provenance: Provenance


class Job(_Words):
    """How a background job stands."""

    request_id: Plain
    status: Literal["queued", "running", "done", "error", "not_found"]
    error: Plain | None = None
    attempt: int
    max_attempts: int
    created_at: Plain | None = None
    updated_at: Plain | None = None
    retry_at: Plain | None = None
    expires_at: Plain | None = None
    problem: Problem | None = None
    eta_ms: int | None = Field(None, exclude=True)
    poll_after_ms: int | None = Field(None, exclude=True)
    result: Drawing | None = Field(None, exclude=True)

    @property
    def settled(self) -> bool:
        return self.status in ("done", "error", "not_found")


class Payload(_Words):
    """The answer to a sketch: a drawing, a request id, or a problem."""

    result: Drawing | None = None
    request_id: Plain | None = None
    errors: list[Plain] = []
    problem: Problem | None = None
