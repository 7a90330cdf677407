"""What a command says at its end: lines for a person, or one JSON object; failures in one sentence."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from cli.contract import Drawing, Job
from cli.failure import Exit, Failure
from cli.progress import described

FRESHNESS = {
    "HIT": "drawn before",
    "MISS": "newly drawn",
    "ARCHIVE": "drawn before, from the archive",
    "COALESCED": "drawn once for this and an identical request",
}
_HEX = re.compile(r"#[0-9a-fA-F]{6}")


class Report:
    """Collects what is known about a command while it runs: facts for JSON, the sentence for an interruption."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = _Console(stderr=True)
        self._out = _Console()
        self.if_interrupted = "Interrupted."
        self._facts: dict[str, Any] = {}

    def knows(self, **facts: Any) -> None:
        """Add to the JSON object."""
        self._facts |= facts

    def drawn(self, drawing: Drawing, file: Path, took_ms: int) -> Exit:
        """Say what was drawn and where it was saved."""
        self.knows(status="done", file=str(file), tookMs=took_ms, result=drawing.model_dump(by_alias=True))
        origin = f"{FRESHNESS.get(drawing.provenance.cache, drawing.provenance.cache)}, {took_ms / 1000:.1f} s"
        return self.end(
            Text(f"{file}: {drawing.title}"),
            Text(f"  {origin}; {drawing.provenance.model}, {drawing.provenance.provider_ms / 1000:.1f} s"),
            Text(f"  {drawing.style}, background {drawing.background}"),
            Text.assemble("  ", *_named(drawing.palette, patches=self._out.is_terminal and not self._out.no_color)),
            Text(f"  {drawing.notes}"),
        )

    def state(self, job: Job) -> Exit:
        """Show the state of a job that has not failed."""
        self.knows(**job.model_dump(by_alias=True))
        times = (("accepted", job.created_at), ("changed", job.updated_at), ("next attempt", job.retry_at))
        told = [Text(f"  {name} {when}") for name, when in times if when]
        return self.end(Text(f"{job.request_id}: {described(job)}"), *told)

    def say(self, *lines: Text) -> None:
        """Write lines for a person; with JSON nothing is written."""
        for line in () if self.as_json else lines:
            self._out.print(line, soft_wrap=True)

    def end(self, *lines: Text) -> Exit:
        """Write the lines; with JSON, write the object of all facts instead."""
        self.say(*lines)
        if self.as_json:
            self._out.print(Text(json.dumps({"exitStatus": Exit.OK} | self._facts)), soft_wrap=True)
        return Exit.OK

    def failed(self, failure: Failure) -> Exit:
        """Say in one sentence what went wrong, and in JSON what the service said about it."""
        self.console.print(Text(failure.message), soft_wrap=True)
        if self.as_json:
            problem = failure.problem and failure.problem.model_dump(by_alias=True)
            self.knows(error=failure.message, problem=problem, exitStatus=failure.status)
            self.end()
        return failure.status


def reported(as_json: bool, command: Callable[[Report], Exit]) -> Exit:
    """Run a command to its end; failures, Ctrl-C and SIGTERM become a sentence and an exit status."""
    report = Report(as_json=as_json)
    try:
        return command(report)
    except Failure as failure:
        return report.failed(failure)
    except KeyboardInterrupt:
        return report.failed(Failure(Exit.INTERRUPTED, report.if_interrupted))
    except SystemExit:
        return report.failed(Failure(Exit.TERMINATED, report.if_interrupted))


class _Console(Console):
    """Writes to a stream as long as anybody reads it; standard error may also be full."""

    def print(self, *objects: Any, **options: Any) -> None:
        try:
            super().print(*objects, **options)
        except OSError:
            if not self.stderr:
                raise
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Go on without output: the command does its work even if nobody reads about it."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


def _named(palette: list[str], *, patches: bool) -> list[Text]:
    """The colours' names, each after a patch of the colour if the terminal has colours."""
    told = []
    for name in palette:
        if patches and _HEX.fullmatch(name):
            told += [Text("  ", style=f"on {name}"), Text(" ")]
        told.append(Text(f"{name}  "))
    return told
