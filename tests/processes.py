"""Lists processes with their parents, on machines with and without `ps`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path


def processes() -> Iterator[tuple[int, int, str, str]]:
    """Id, parent, state and command line of each process: from /proc, as slim machines have no `ps`, or from `ps`."""
    proc = Path("/proc")
    if not (proc / "self" / "stat").exists():
        listing = subprocess.run(
            ["ps", "-eww", "-o", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True
        )
        for line in listing.stdout.splitlines():
            pid, parent, state, args = line.split(maxsplit=3)
            yield int(pid), int(parent), state[0], args
        return
    for folder in proc.glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            args = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended meanwhile
            continue
        yield int(folder.name), int(parent), state, args


def alive(pids: set[int]) -> set[int]:
    """Those of these processes that still run."""
    return {pid for pid, _, state, _ in processes() if pid in pids and state != "Z"}


def children(of: int) -> set[int]:
    """The processes that this one has started and that still run."""
    return {pid for pid, parent, state, _ in processes() if parent == of and state != "Z"}
