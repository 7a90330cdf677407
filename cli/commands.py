"""What `improve` and `status` do, from the files of the user to the endpoint and back."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from cli import files
from cli.contract import Drawing, Job
from cli.endpoint import LOCAL, Endpoint, failed
from cli.failure import Exit, Failure
from cli.follow import Follower
from cli.progress import Progress
from cli.report import Report

BEGUN = "Interrupted; a drawing that was begun is finished and kept: send the same sketch again to get it."


@dataclass(frozen=True, slots=True)
class Order:
    """One sketch to improve, as the command line names it."""

    sketch: Path
    output: Path | None
    hints: str
    svg: Path | None
    variant: int
    follow: bool

    def input(self, *, background: bool) -> dict[str, Any]:
        """Read the files; raise Failure for mistakes that can be seen before anything is sent."""
        if self.output:
            files.check_target(self.output, source=self.sketch)
        return {
            "pngBase64": base64.b64encode(files.read(self.sketch)).decode(),
            "svg": files.read_text(self.svg) if self.svg else None,
            "hints": _utf8(self.hints, "The hints") or None,
            "variant": self.variant,
            "async": background,
        }


def on_endpoint(url: str, key: str, command: Callable[[Report, Endpoint], Exit]) -> Callable[[Report], Exit]:
    """Return the command bound to an endpoint; when it runs, it raises Failure for an impossible address or key."""

    def run(report: Report) -> Exit:
        if not (key.isascii() and key.isprintable()):
            raise Failure(
                Exit.USAGE, "The key has a character that is not printable ASCII; was it copied with a line break?"
            )
        with closing(Endpoint(url, key)) as endpoint:
            return command(report, endpoint)

    return run


def improve(report: Report, endpoint: Endpoint, order: Order) -> Exit:
    """Have a sketch drawn while the request waits for it."""
    sketch = order.input(background=False)
    report.if_interrupted = BEGUN
    with Progress(report.console) as progress:
        progress.say("drawing")
        payload = endpoint.improve(sketch)
    if payload.result is None or order.output is None:
        raise Failure(Exit.NO_ENDPOINT, f"{endpoint.name} answered with a request id instead of a drawing.")
    return _save(report, payload.result, order.output, progress.took_ms)


def submit(report: Report, endpoint: Endpoint, order: Order) -> Exit:
    """Have a sketch drawn in the background; follow the job if that is wanted."""
    sketch = order.input(background=True)
    report.if_interrupted = BEGUN
    with Progress(report.console) as progress:
        progress.say("sending")
        payload = endpoint.improve(sketch)
        if payload.request_id is None:
            raise Failure(Exit.NO_ENDPOINT, f"{endpoint.name} answered without a request id.")
        follow_up = _names(report, endpoint, payload.request_id, order.output)
        if order.follow and order.output:
            drawing = _drawing(report, endpoint, _settled(endpoint, payload.request_id, progress, known=True))
    if order.follow and order.output:
        return _save(report, drawing, order.output, progress.took_ms)
    report.console.print(Text(f"Follow it with: {follow_up}"), soft_wrap=True)
    return report.end(Text(payload.request_id))


def status(report: Report, endpoint: Endpoint, request_id: str, output: Path | None, *, follow: bool) -> Exit:
    """Say how a job stands, at once or when it is settled; save its drawing where that is wanted."""
    _names(report, endpoint, _utf8(request_id, "A request id"), output)
    if output:
        files.check_target(output)
    with Progress(report.console) as progress:
        job = _settled(endpoint, request_id, progress) if follow else Follower(endpoint, request_id).now()
        report.knows(**job.model_dump(by_alias=True))
        if job.status in ("error", "not_found"):
            raise failed(job)
        drawing = _drawing(report, endpoint, job) if output and job.status == "done" else None
    if output and drawing:
        return _save(report, drawing, output, progress.took_ms)
    if output:
        raise Failure(
            Exit.TRY_AGAIN, f"Job {request_id} is {job.status}: there is no drawing yet; add --watch to wait for it."
        )
    return report.state(job)


def _utf8(text: str, what: str) -> str:
    """Return an argument; raise Failure if it holds bytes that are not UTF-8, and so cannot be sent."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Failure(Exit.USAGE, f"{what} must be text in UTF-8.") from None
    return text


def _names(report: Report, endpoint: Endpoint, request_id: str, output: Path | None) -> str:
    """
    Make the request id part of every report from now on, so that the job can be found again.

    Return the command that follows the job, as a shell takes it. A key does not stand in it.
    """
    words = ["python", "-m", "cli", "status", request_id, "--watch"]
    words += [] if endpoint.name == LOCAL else ["--endpoint", endpoint.name]
    words += ["--output", str(output)] if output else []
    follow_up = shlex.join(words)
    report.knows(requestId=request_id)
    report.if_interrupted = f"Interrupted; job {request_id} goes on: follow it with `{follow_up}`."
    return follow_up


def _settled(endpoint: Endpoint, request_id: str, progress: Progress, *, known: bool = False) -> Job:
    """Show each state of a job; return the last one."""
    for job in Follower(endpoint, request_id).states(known=known):
        progress.show(job)
    return job


def _drawing(report: Report, endpoint: Endpoint, job: Job) -> Drawing:
    """The drawing of a settled job; raise Failure if there is none."""
    report.knows(**job.model_dump(by_alias=True))
    if job.status != "done":
        raise failed(job)
    whole = endpoint.drawing(job.request_id)
    if whole.result is None:
        raise failed(whole)
    return whole.result


def _save(report: Report, drawing: Drawing, output: Path, took_ms: int) -> Exit:
    files.save(output, drawing.png)
    return report.drawn(drawing, output, took_ms)
