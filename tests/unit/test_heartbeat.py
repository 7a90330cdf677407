"""A heartbeat goes on for as long as its block lasts, and no longer."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

import pytest
from rubydraw.heartbeat import beating


@pytest.mark.parametrize("fails", [False, True])
async def test_nothing_beats_after_the_block(fails: bool) -> None:
    """Else each job would renew a lease that it no longer has, and say so, for as long as the process lives."""
    beaten = asyncio.Event()

    async def beat() -> None:
        beaten.set()

    with pytest.raises(ValueError, match="over") if fails else nullcontext(), beating(0.01, beat):
        async with asyncio.timeout(10):
            await beaten.wait()
        if fails:
            raise ValueError("over")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert {asyncio.current_task()} == asyncio.all_tasks()
