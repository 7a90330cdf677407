"""Reads Gemini's answer: the picture that counts, the text beside it, and the tokens that the call has used.

Field names are those of `GenerateContentResponse` (Gemini API reference, "Generating content"; Vertex AI has the same).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pybase64

from rubydraw.errors import BadAnswer, ContentRefused, NoImage
from rubydraw.limits.budget import Usage

REFUSING = frozenset(
    [
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "PROHIBITED_CONTENT",
        "SAFETY",
        "RECITATION",
        "SPII",
        "BLOCKLIST",
        "JAILBREAK",
        "MODEL_ARMOR",
        "ESCALATION",
        "PUP_LIMITED_DISABLED",
    ]
)
"""Finish reasons that depend on the sketch alone; any other end without a picture may be tried again."""
MAX_TOKENS = 2_000_000
"""More than any model uses in one call. Larger counts are not believed: Redis' integers could overflow."""


def read_answer(body: bytes, used: Callable[[Usage], object]) -> tuple[bytes, str]:
    """
    Return the picture and the text in the body of a 200 answer; raise ContentRefused, NoImage or BadAnswer.

    First `used` is called with the usage that the answer reports, if that is there and plausible.
    """
    try:
        answer: Any = orjson.loads(body)
        if usage := _usage(answer.get("usageMetadata")):
            used(usage)
        parts = _parts(answer)
        pictures = [part for part in parts if part.get("inlineData") and part["inlineData"].get("data")]
        if not pictures:
            raise NoImage
        texts = [part.get("text") for part in parts if not part.get("thought")]
        text = "".join(text for text in texts if isinstance(text, str))
        return _decoded(_final(pictures)), text
    except (AttributeError, TypeError, LookupError, ValueError):  # HTML, cut JSON, {"candidates": 5}, no base64
        raise BadAnswer from None


def _usage(counts: Any) -> Usage | None:
    if not isinstance(counts, dict):
        return None
    all_tokens, input_tokens = counts.get("totalTokenCount"), counts.get("promptTokenCount") or 0
    if not (isinstance(all_tokens, int) and isinstance(input_tokens, int)):
        return None
    if not MAX_TOKENS >= all_tokens >= input_tokens >= 0:
        return None
    return Usage(input_tokens, all_tokens - input_tokens)


def _parts(answer: dict[str, Any]) -> list[dict[str, Any]]:
    if (answer.get("promptFeedback") or {}).get("blockReason"):
        raise ContentRefused
    candidates = answer.get("candidates")
    if not candidates:
        raise NoImage
    if candidates[0].get("finishReason") in REFUSING:
        raise ContentRefused
    parts: list[dict[str, Any]] = (candidates[0].get("content") or {}).get("parts") or []
    return parts


def _final(pictures: list[dict[str, Any]]) -> str:
    """Return the last picture; those in thought parts are drafts and count only when there is no other."""
    chosen = [part for part in pictures if not part.get("thought")] or pictures
    data: str = chosen[-1]["inlineData"]["data"]
    return data


def _decoded(data: str) -> bytes:
    """Decode either alphabet of base64, padded or not, as ProtoJSON requires of parsers."""
    padded = data + "=" * (-len(data) % 4)
    return pybase64.b64decode(padded, b"-_" if "-" in data or "_" in data else None, validate=True)
