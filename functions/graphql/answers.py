"""Answers: translates the results of `submit` and `watch` into the fields of the contract."""

from __future__ import annotations

from typing import Any

import pybase64
from rubydraw.clock import iso
from rubydraw.drawing import Drawing
from rubydraw.errors import Code
from rubydraw.jobs.state import JobState
from rubydraw.watch import Seen

Words = dict[str, Any]

DATA_URLS = 2
"""Of one picture, as there may be two `imageBase64`. Sixteen `imageUrl` are allowed, but a data URL is a copy of it."""


def result(digest: str, drawing: Drawing, outcome: str, *, with_image: bool = True) -> Words:
    """Return the fields of a drawing, its image as bytes; an image that was not selected is kept as `unasked`."""
    return {
        "named": (digest, drawing.image_sha256),
        "unasked": b"" if with_image else drawing.image,
        "data_urls": DATA_URLS,
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
    """Return the picture as a data URL; an empty string if the image has not been read, or from the third time on."""
    image = result["imageBase64"] or result["unasked"]
    result["data_urls"] -= 1
    if not image or result["data_urls"] < 0:
        return ""
    return f"data:image/png;base64,{pybase64.b64encode_as_string(image)}"


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
            "retryAt": None if job.settled else iso(job.retry_at_ms),
            "expiresAt": iso(job.expires_at_ms),
            "etaMs": job.forecast.eta_ms,
            "pollAfterMs": job.forecast.poll_after_ms,
        }
        if seen.drawing:
            words["result"] = result(job.digest, seen.drawing, job.outcome)
        if seen.code:
            words["problem"] = failure(job, seen.code)
            words["error"] = words["problem"]["message"]
    return words


def failure(job: JobState, code: Code) -> Words:
    """Return the problem of a failed job; `code` is the job's own, or the one for a result that is gone."""
    own = job.code == code
    message = job.message if own and job.message else code.sentence
    wait_s = max(job.retry_at_ms - job.now_ms, 0) / 1000 if own and job.retry_at_ms else None
    return problem(code, message, wait_s)
