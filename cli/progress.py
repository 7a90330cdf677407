"""The progress of one command on standard error: one live line on a terminal, one plain line a change elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich import progress as rich_progress
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.text import Text

from cli.contract import Job


class Progress:
    """Shows what is known now, and how long it has taken; disappears from a terminal when the command ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began_s = time.monotonic()
        self._said = ""
        self._is_live = console.file.isatty() and not console.is_dumb_terminal
        self._live = rich_progress.Progress(
            rich_progress.SpinnerColumn(),
            rich_progress.TextColumn("{task.description}", markup=False),
            _Bar(),
            _Times(),
            console=console,
            transient=True,
            disable=not self._is_live,
        )
        self._task = self._live.add_task("", total=None, due_s=None)

    @property
    def took_ms(self) -> int:
        return round((time.monotonic() - self._began_s) * 1000)

    def say(self, words: str) -> None:
        """Show these words, unless they are shown already."""
        if words == self._said:
            return
        self._said = words
        self._live.update(self._task, description=words)
        if not self._is_live:
            self._console.print(Text(f"{words}  {self.took_ms / 1000:.1f} s"), soft_wrap=True)

    def show(self, job: Job) -> None:
        """Show the state of a job, and its progress if the endpoint estimates how long such jobs take."""
        self.say(described(job))
        if job.eta_ms is not None:
            self._live.update(self._task, due_s=(self.took_ms + job.eta_ms) / 1000)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()


def described(job: Job) -> str:
    """A job's state in a few words."""
    if job.status == "not_found" or not job.attempt:
        return job.status
    return f"{job.status}, attempt {job.attempt} of {job.max_attempts}"


class _Bar(rich_progress.ProgressColumn):
    """Fills up until the estimated end of the job; only moves to and fro if that is unknown or past."""

    def render(self, task: rich_progress.Task) -> ProgressBar:
        due_s, now_s = task.fields["due_s"], task.elapsed or 0.0
        pulse = due_s is None or now_s >= due_s
        return ProgressBar(due_s or 1.0, now_s, width=20, pulse=pulse, animation_time=task.get_time())


class _Times(rich_progress.ProgressColumn):
    """Seconds so far, and about how many are left."""

    def render(self, task: rich_progress.Task) -> Text:
        due_s, now_s = task.fields["due_s"], task.elapsed or 0.0
        left = f", about {due_s - now_s:.0f} s left" if due_s and due_s - now_s >= 0.5 else ""
        return Text(f"{now_s:.1f} s{left}")
