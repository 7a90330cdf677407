"""Answers: what `submit` and `watch` say, in the words of the contract."""

from __future__ import annotations

from typing import Any

import pybase64
from rubydraw.clock import iso
from rubydraw.drawing import Drawing
from rubydraw.errors import Code
from rubydraw.jobs import JobState
from rubydraw.watch import Seen

Words = dict[str, Any]
DAY_MS = 24 * 60 * 60 * 1000


def result(digest: str, drawing: Drawing, outcome: str, *, with_image: bool = True) -> Words:
    """Return the words of a drawing, its image in bytes; one that is here though nobody asked for it stays unasked."""
    return {
        "named": (digest, drawing.image_sha256),
        "unasked": b"" if with_image else drawing.image,
        "imageBase64": drawing.image if with_image else b"",
        "mimeType": "image/png",
        "title": drawing.title,
        "style": drawing.style,
        "palette": drawing.palette,
        "background": drawing.background,
        "notes": drawing.notes,
        "provenance": {
            "cache": outcome,
            "model": drawing.model,
            "promptVersion": drawing.prompt_version,
            "createdAt": iso(drawing.created_at_ms),
            "providerMs": drawing.provider_ms,
        },
    }


def data_url(result: Words) -> str:
    """Return the picture in its address; nothing where it is not at hand."""
    image = result["imageBase64"] or result["unasked"]
    return f"data:image/png;base64,{pybase64.b64encode_as_string(image)}" if image else ""


def problem(code: Code, message: str, retry_after_s: float | None = None) -> Words:
    return {
        "code": code,
        "message": message,
        "retryable": code.retryable,
        "retryAfterSeconds": None if retry_after_s is None else round(retry_after_s, 3),
    }


def status(request_id: str, seen: Seen, max_attempts: int) -> Words:
    words: Words = {"requestId": request_id, "status": seen.status, "attempt": 0, "maxAttempts": max_attempts}
    if job := seen.job:
        words |= {
            "attempt": job.attempt,
            "createdAt": iso(job.created_at_ms),
            "updatedAt": iso(job.updated_at_ms),
            "retryAt": iso(job.retry_at_ms),
            "expiresAt": iso(job.expires_at_ms),
            "etaMs": job.forecast.eta_ms,
            "pollAfterMs": job.forecast.poll_after_ms,
        }
        if seen.drawing:
            words["result"] = result(job.digest, seen.drawing, job.outcome)
        if seen.code:
            message = sentence(job, seen.code)
            words |= {"error": message, "problem": problem(seen.code, message, _opens_in_s(job, seen.code))}
    return words


def _opens_in_s(job: JobState, code: Code) -> float | None:
    """Return the seconds until there is a new budget, for a job that met the end of one."""
    if code is not Code.BUDGET_EXCEEDED:
        return None
    opens_ms = (job.updated_at_ms // DAY_MS + 1) * DAY_MS
    return max(opens_ms - job.now_ms, 0) / 1000


def sentence(job: JobState, code: Code) -> str:
    return job.message if job.code == code and job.message else code.sentence
