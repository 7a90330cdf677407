"""Counts the jobs of one worker process, and leaves their rate in Redis after the last one."""

from __future__ import annotations

import os
import threading
import time

import redis

_lock = threading.Lock()
_count = 0
_began_s = 0.0


def one_more(total: int) -> None:
    """Count a job; the rate is measured from the first to the last, so that it includes no start-up."""
    global _count, _began_s
    with _lock:
        _count += 1
        if _count == 1:
            _began_s = time.perf_counter()
        if _count == total:
            rate = (total - 1) / (time.perf_counter() - _began_s)
            redis.Redis.from_url(os.environ["REDIS_URL"]).set("bench:jobs_per_s", rate)
