"""How a command can end: its exit status, and the one sentence that goes with a failure."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.contract import Problem


class Exit(IntEnum):
    """The exit statuses; `docs/cli.md` and `--help` describe them."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    TRY_AGAIN = 3
    NO_ENDPOINT = 4
    UNKNOWN_ID = 5
    INTERRUPTED = 130
    TERMINATED = 143


MEANINGS = {
    Exit.OK: "done",
    Exit.REFUSED: "refused: the same request would fail again; or check-env found a fault",
    Exit.USAGE: "wrong usage, or a file that cannot be read or written",
    Exit.TRY_AGAIN: "failed, but may succeed later",
    Exit.NO_ENDPOINT: "nothing answers at the endpoint's address, or something other than the endpoint",
    Exit.UNKNOWN_ID: "unknown request id, or one that is no longer kept",
    Exit.INTERRUPTED: "interrupted with Ctrl-C",
    Exit.TERMINATED: "ended by SIGTERM",
}


class Failure(Exception):
    """An expected failure. `problem` is what the service said about it, if it did."""

    def __init__(self, status: Exit, message: str, problem: Problem | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.problem = status, message, problem
