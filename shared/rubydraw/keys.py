"""
Every Redis key and how long it lives, on one page. The part in braces decides the slot in a cluster.

Two scripts use keys of several slots, to save a round trip each: a job's acceptance and its completion. So the state
needs a single Redis, as Memorystore for Redis is; on a cluster their steps would have to run one by one.
"""

from __future__ import annotations

import functools
import hashlib

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS

RESULT_MS = 7 * 24 * HOUR_MS
RESULT_WITH_FALLBACK_METADATA_MS = 65 * MINUTE_MS
# `kept.lua` and `job.lua` set the next three and repeat their values; a test checks that they are equal.
RESULT_OF_A_SETTLED_JOB_MS = 65 * MINUTE_MS
UNSETTLED_JOB_MS = 24 * HOUR_MS
SETTLED_JOB_MS = HOUR_MS
IDEMPOTENCY_MS = 24 * HOUR_MS
FAILED_FLIGHT_MS = 5 * SECOND_MS
FAILED_FOR_GOOD_MS = MINUTE_MS
REFUSED_MS = 10 * MINUTE_MS
FIRST_COOLDOWN_MS = 15 * SECOND_MS
LONGEST_COOLDOWN_MS = 120 * SECOND_MS
DURATIONS_MS = 7 * 24 * HOUR_MS
BUDGET_OF_ACCOUNT_MS = 48 * HOUR_MS
RESERVATION_MS = 2 * HOUR_MS

BUDGET = "improve_sketch:{budget}"
"""What all calls of the day have cost. It never expires: a key that Redis may evict could not bound the bill."""
COOLDOWN = "improve_sketch:cooldown"
DURATIONS = "improve_sketch:durations"
"""A list of how long the last jobs that needed a call took, newest first, in ms."""


def result(digest: str) -> str:
    """A drawing, found by the digest of its sketch; in the results' own Redis if there is one."""
    return f"improve_sketch:v1:{digest}"


def image(image_sha256: str) -> str:
    """The digest of the drawing that has this picture; in the results' Redis too, and kept as long as a result."""
    return f"improve_sketch:image:{image_sha256}"


def status(request_id: str) -> str:
    """The state of one job."""
    return f"improve_sketch:status:{{{request_id}}}"


def channel(request_id: str) -> str:
    """Where each transition of one job is announced."""
    return f"improve_sketch:{request_id}"


def flight(digest: str) -> str:
    """Who is asking Gemini for this sketch."""
    return f"improve_sketch:flight:{digest}"


def failures(digest: str) -> str:
    """How many calls for this sketch have failed, each less than a minute after the one before."""
    return f"improve_sketch:failures:{digest}"


def refused(digest: str) -> str:
    """The code with which Gemini refused this sketch."""
    return f"improve_sketch:refused:{digest}"


def idempotency(owner: str, key: str) -> str:
    """The request that a caller's idempotency key stands for."""
    named = hashlib.sha256(f"{len(owner)}:{owner}{key}".encode()).hexdigest()
    return f"improve_sketch:idempotency:{{{named}}}"


def budget(account: str) -> str:
    """What the calls on one account have cost today."""
    return f"{BUDGET}:{_hashed(account)}"


def reservation(token: str) -> str:
    """One call that was paid for in advance."""
    return f"{BUDGET}:call:{token}"


def quota(account: str) -> str:
    """How many requests one account has sent in the last minute."""
    return f"improve_sketch:quota:{{{_hashed(account)}}}"


def unsettled(account: str) -> str:
    """The jobs of one account that are not settled yet."""
    return f"improve_sketch:unsettled:{{{_hashed(account)}}}"


@functools.lru_cache(maxsize=10_000)
def _hashed(account: str) -> str:
    """Return a name of fixed length: an account may be an IP address, or any name that an issuer of tokens gives."""
    return hashlib.sha256(account.encode()).hexdigest()[:32]
