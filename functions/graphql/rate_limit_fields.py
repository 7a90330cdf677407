"""The header fields that tell a caller its quota (draft-ietf-httpapi-ratelimit-headers-11, RFC 9110 10.2.3)."""

from __future__ import annotations

import math

from rubydraw.errors import BudgetExceeded, RateLimited, SketchError
from rubydraw.limits.quotas import WINDOW_S, Quota

POLICY = "requests"


def fields(quota: Quota | None, failure: SketchError | None = None) -> dict[str, str]:
    """Return the fields that state the caller's quota and, after a refusal, when to try again."""
    told = {}
    if quota:
        told["ratelimit-policy"] = f'"{POLICY}";q={quota.limit};w={WINDOW_S}'
        told["ratelimit"] = f'"{POLICY}";r={quota.remaining};t={quota.reset_s}'
    if isinstance(failure, RateLimited | BudgetExceeded) and failure.retry_after_s is not None:
        told["retry-after"] = str(math.ceil(failure.retry_after_s))
    return told
