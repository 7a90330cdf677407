"""taskiq on Redis lists: jobs that do nothing."""

from __future__ import annotations

import asyncio
import os
import sys

import counting
from taskiq_redis import ListQueueBroker

broker = ListQueueBroker(os.environ["REDIS_URL"])


@broker.task(task_name="noop")
async def noop(total: int) -> None:
    counting.one_more(total)


async def enqueue(total: int) -> None:
    await broker.startup()
    for _ in range(total):
        await noop.kiq(total)
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(enqueue(int(sys.argv[1])))
