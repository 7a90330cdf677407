"""The command line itself: names, options and help of each command for those who draw."""

from __future__ import annotations

import errno
import functools
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TextIO

import typer
from typer import Argument, Option

from cli import commands
from cli.endpoint import LOCAL
from cli.failure import Exit
from cli.operators import operators
from cli.options import STATUSES, Json
from cli.report import reported

NAME = "python -m cli"

app = typer.Typer(
    help="Turns sketches into clean drawings, through the GraphQL endpoint of a RubyDraw backend.",
    epilog=STATUSES,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(operators)

EndpointUrl = Annotated[
    str, Option("--endpoint", envvar="RUBYDRAW_ENDPOINT", metavar="URL", help="Address of the GraphQL endpoint.")
]
Key = Annotated[
    str,
    Option(
        "--key",
        envvar="RUBYDRAW_KEY",
        metavar="KEY",
        show_default=False,
        help="API key, sent as a bearer token. Other users of this machine can see options, so prefer the variable.",
    ),
]
Output = Annotated[Path | None, Option("--output", "-o", metavar="OUT.png", help="Where to save the drawing.")]
UNWRITABLE = (errno.EBADF, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC)
"""Errors of writing to standard output; those of files and connections have sentences of their own."""


@app.command(epilog=STATUSES)
def improve(
    sketch: Annotated[Path, Argument(metavar="IN.png", help="The sketch, a PNG.")],
    output: Output = None,
    hints: Annotated[
        str, Option(help="Your wishes for the drawing, in words.", metavar="TEXT", show_default=False)
    ] = "",
    svg: Annotated[Path | None, Option(metavar="FILE", help="The same drawing as SVG, a structural hint.")] = None,
    variant: Annotated[int, Option(min=0, metavar="N", help="1, 2, 3 and so on ask for another drawing.")] = 0,
    background: Annotated[
        bool, Option("--background", help="Start a background job, print its request id, and end.")
    ] = False,
    watch: Annotated[
        bool, Option("--watch", help="Start a background job, and follow it until its drawing is there.")
    ] = False,
    endpoint: EndpointUrl = LOCAL,
    key: Key = "",
    as_json: Json = False,
) -> int:
    """Improve one sketch and save the drawing.

    The request waits until it is drawn; with --background or --watch a background job draws it.
    """
    if output is None and (watch or not background):
        raise typer.BadParameter("name the file in which to save the drawing", param_hint="--output")
    order = commands.Order(sketch, output, hints, svg, variant, follow=watch)
    command = commands.submit if background or watch else commands.improve
    return reported(as_json, commands.on_endpoint(endpoint, key, functools.partial(command, order=order)))


@app.command(epilog=STATUSES)
def status(
    request_id: Annotated[str, Argument(metavar="ID", help="The request id that `improve --background` printed.")],
    watch: Annotated[bool, Option("--watch", help="Follow the job until it is done or has failed.")] = False,
    output: Output = None,
    endpoint: EndpointUrl = LOCAL,
    key: Key = "",
    as_json: Json = False,
) -> int:
    """Say how a background job stands.

    Once it is done, --output saves its drawing.
    """
    ask = functools.partial(commands.status, request_id=request_id, output=output, follow=watch)
    return reported(as_json, commands.on_endpoint(endpoint, key, ask))


def run(arguments: Sequence[str]) -> int:
    """Run one command; return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(Exit.TERMINATED))
    sys.stdout, sys.stderr = (_written(stream) for stream in (sys.stdout, sys.stderr))
    try:
        try:
            return int(app(list(arguments), prog_name=NAME, standalone_mode=False) or 0)
        except typer.TyperException as error:
            return _usage(error)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        return _unwritten(error)


def _written(stream: TextIO | None) -> TextIO:
    """Return a stream that takes any text; for one that the caller has closed, one that discards it."""
    stream = stream or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    stream.reconfigure(errors="replace")  # type: ignore[attr-defined]
    return stream


def _unwritten(error: OSError) -> int:
    """Report the error, and discard what is left to be written: Python's flush at exit would fail again."""
    with suppress(OSError):
        sys.stderr.write(f"The output cannot be written: {(error.strerror or 'unknown reason').lower()}.\n")
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return Exit.USAGE


def _usage(error: typer.TyperException) -> int:
    sentence = error.format_message() if hasattr(error, "format_message") else str(error)
    sys.stderr.write(f"{sentence.rstrip('.')}. See {NAME} --help.\n")
    return Exit.USAGE
