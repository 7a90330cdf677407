"""Celery on Redis, results ignored: jobs that do nothing."""

from __future__ import annotations

import os
import sys

import counting
from celery import Celery

app = Celery("celery_jobs", broker=os.environ["REDIS_URL"])
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=64)


@app.task(name="noop")
def noop(total: int) -> None:
    counting.one_more(total)


if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        noop.delay(int(sys.argv[1]))
