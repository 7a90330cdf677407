"""Maps what goes wrong at Gemini to our errors: all exceptions of google-genai and its HTTP client, in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rubydraw.authorization import is_temporary
from rubydraw.errors import (
    BadAnswer,
    GeminiBusy,
    GeminiFailed,
    Misconfigured,
    NotAccepted,
    OutOfTime,
    SketchError,
)

if TYPE_CHECKING:
    from google.genai.errors import APIError

QUICK_S = 5.0
"""A 503 within this time refused the call before any drawing began."""


def as_our_error(error: Exception, took_s: float) -> SketchError:
    """Return our error for one of theirs, `took_s` into the call. Their message may quote upstream and stays here."""
    import httpx2
    from google.genai.errors import APIError

    match error:
        case SketchError():
            return error
        case APIError():
            return _from_status(error, took_s)
        case httpx2.ConnectError() | httpx2.ConnectTimeout() | httpx2.PoolTimeout():
            return GeminiFailed(may_be_billed=False)
        case TimeoutError() | httpx2.TimeoutException():
            return OutOfTime(may_be_billed=True)
        case httpx2.HTTPError() | OSError():
            return GeminiFailed()
        case ValueError() | TypeError() | AttributeError() | LookupError() | RecursionError():
            return BadAnswer()  # whatever else the SDK stumbles over
    if type(error).__module__.startswith("google.auth"):
        return GeminiFailed(may_be_billed=False) if is_temporary(error) else Misconfigured()
    if type(error).__module__.startswith(("google.genai", "httpx2")):
        return GeminiFailed()
    raise error


def _from_status(error: APIError, took_s: float) -> SketchError:
    match error.code:
        case 429:
            return GeminiBusy(retry_after_s=_retry_after_s(error))
        case 503 if took_s < QUICK_S:
            return GeminiBusy(retry_after_s=_retry_after_s(error))
        case 400 if _is_our_setup(error):
            return Misconfigured()
        case 400:
            return NotAccepted()
        case 408 | 504:
            return OutOfTime(may_be_billed=True)
        case 499:
            return GeminiFailed()
        case code if 400 <= code < 500:
            return Misconfigured()
    return GeminiFailed()


def _is_our_setup(error: APIError) -> bool:
    """Whether a 400 is about the key or the account (API_KEY_INVALID, FAILED_PRECONDITION), not the sketch."""
    reasons = [detail.get("reason") for detail in _details(error)]
    return error.status == "FAILED_PRECONDITION" or "API_KEY_INVALID" in reasons


def _retry_after_s(error: APIError) -> float | None:
    """Return the delay that Gemini names: RetryInfo in its body, or the header Retry-After in seconds."""
    named = [detail["retryDelay"].removesuffix("s") for detail in _details(error) if "retryDelay" in detail]
    named += [error.response.headers["retry-after"]] if "retry-after" in getattr(error.response, "headers", {}) else []
    for text in named:
        try:
            return min(max(0.0, float(text)), 3600.0)  # in this order "NaN" is 0
        except ValueError:
            continue
    return None


def _details(error: APIError) -> list[dict[str, Any]]:
    body = error.details.get("error", error.details) if isinstance(error.details, dict) else {}
    details = body.get("details", []) if isinstance(body, dict) else []
    if not isinstance(details, list):
        return []
    return [detail for detail in details if isinstance(detail, dict) and isinstance(detail.get("retryDelay", ""), str)]
