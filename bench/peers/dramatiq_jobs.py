"""dramatiq on Redis: jobs that do nothing."""

from __future__ import annotations

import os
import sys

import counting
import dramatiq
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))


@dramatiq.actor
def noop(total: int) -> None:
    counting.one_more(total)


if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        noop.send(int(sys.argv[1]))
