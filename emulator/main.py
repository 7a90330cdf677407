"""Everything on a laptop: prints the parts, runs them, and ends them with this process."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from emulator.layout import layout
from emulator.parts import CannotStart, Part, run, tell

_POLL_S = 0.5


async def _emulate(parts: Sequence[Part]) -> None:
    """Run all parts until a signal comes, or until `make` is gone if that started us."""
    endpoint = next(part.address for part in parts if part.name == "graphql") + "/graphql"
    running = asyncio.ensure_future(run(parts, lambda: tell(f"ready {endpoint}")))
    ends = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # as under nohup
        ends.remove(signal.SIGHUP)
    for number in ends:
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    watch = asyncio.create_task(_parent_gone()) if "MAKELEVEL" in os.environ else None
    if watch:
        watch.add_done_callback(lambda _: running.cancel())
    with suppress(asyncio.CancelledError):
        await running


async def _parent_gone() -> None:
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 -- nothing announces it
        await asyncio.sleep(_POLL_S)


def main() -> int:
    """Return the exit status: 1, after one sentence, when something cannot start."""
    try:
        parts = layout(os.environ)
        for part in parts:
            tell(f"{part.name:<10}{part.address}")
            if part.note:
                tell(f"{'':<10}{part.note}")
        asyncio.run(_emulate(parts))
    except CannotStart as reason:
        tell(str(reason), sys.stderr)
        return 1
    return 0
