"""The command line itself: names, options and help of each command; what they do is in the modules they call."""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from typer import Argument, Option

from cli import commands
from cli.failure import MEANINGS, Exit
from cli.report import reported

NAME = "python -m cli"
STATUSES = "\b\nExit status:\n" + "\n".join(f"{status.value:5}  {meaning}" for status, meaning in MEANINGS.items())

app = typer.Typer(
    help="Sketches in, clean drawings out, through the GraphQL endpoint of a RubyDraw backend.",
    epilog=STATUSES,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

letters = typer.Typer(
    help="See the jobs that were given up, and have them done again or forgotten; for operators.",
    epilog=STATUSES,
    rich_markup_mode=None,
)
app.add_typer(letters, name="dead-letters")

keys = typer.Typer(help="API keys of an endpoint, for its operator.")
app.add_typer(keys, name="keys")

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
        help="API key, sent as a bearer token. Other users of the machine can see options: prefer the variable.",
    ),
]
Json = Annotated[bool, Option("--json", help="One JSON object on standard output; progress stays on standard error.")]
Output = Annotated[Path | None, Option("--output", "-o", metavar="OUT.png", help="Where to save the drawing.")]
Letters = Annotated[list[str], Argument(metavar="ID", help="Request ids, or message ids where there is none.")]
LOCAL = "http://127.0.0.1:8080/graphql"


@app.command(epilog=STATUSES)
def improve(
    sketch: Annotated[Path, Argument(metavar="IN.png", help="The sketch, a PNG.")],
    output: Output = None,
    hints: Annotated[str, Option(help="What you ask for, in words.", metavar="TEXT", show_default=False)] = "",
    svg: Annotated[Path | None, Option(metavar="FILE", help="The same drawing as SVG, a structural hint.")] = None,
    variant: Annotated[int, Option(min=0, metavar="N", help="1, 2, 3 and so on ask for another drawing.")] = 0,
    background: Annotated[bool, Option("--background", help="Submit it, say its request id, and end.")] = False,
    watch: Annotated[
        bool, Option("--watch", help="Submit it to the background, and follow it until it is drawn.")
    ] = False,
    endpoint: EndpointUrl = LOCAL,
    key: Key = "",
    as_json: Json = False,
) -> int:
    """Improve one sketch and save the drawing.

    The endpoint is kept waiting for it, or with --background or --watch a background job makes it.
    """
    if output is None and (watch or not background):
        raise typer.BadParameter("name a file to save the drawing in", param_hint="--output")
    order = commands.Order(sketch, output, hints, svg, variant, follow=watch)
    command = commands.submit if background or watch else commands.improve
    return reported(as_json, commands.on_endpoint(endpoint, key, functools.partial(command, order=order)))


@app.command(epilog=STATUSES)
def status(
    request_id: Annotated[str, Argument(metavar="ID", help="The request id that `improve --background` said.")],
    watch: Annotated[bool, Option("--watch", help="Follow it until it is drawn or has failed.")] = False,
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


@app.command("budget", epilog=STATUSES)
def budget(as_json: Json = False) -> int:
    """Say what calls have cost today, for operators.

    Read from the Redis of this environment: calls and dollars since midnight UTC, all callers together, those in
    progress at what is reserved for them.
    """
    from cli.budget import show

    return reported(as_json, show)


@app.command("check-env", epilog=STATUSES)
def check_env(as_json: Json = False) -> int:
    """Check the settings in this environment, for operators.

    Every setting of the functions is listed, secrets masked; then Redis, the archive, the topics and Gemini are
    asked whether they are there, which costs nothing. Exit status 0 means that all is well.
    """
    from cli.check_env import check  # with the dead letters, all that needs the product's own modules

    return reported(as_json, check)


@letters.command("list", epilog=STATUSES)
def list_letters(as_json: Json = False) -> int:
    """List the jobs that were given up, each once."""
    from cli import dead_letters

    return reported(as_json, dead_letters.list_)


@letters.command("show", epilog=STATUSES)
def show_letter(
    identity: Annotated[str, Argument(metavar="ID", help="A request id, or a message id where there is none.")],
    as_json: Json = False,
) -> int:
    """Tell when and why a job was given up, and how large it is; never what was drawn or asked for."""
    from cli import dead_letters

    return reported(as_json, functools.partial(dead_letters.show, identity=identity))


@letters.command("replay", epilog=STATUSES)
def replay_letters(
    identities: Letters = [],  # noqa: B006 -- typer's way to say that there may be none
    everything: Annotated[bool, Option("--all", help="Instead of ids: every letter.")] = False,
    code: Annotated[str | None, Option(metavar="CODE", help="With --all: only those of this code.")] = None,
    as_json: Json = False,
) -> int:
    """Have jobs done again, with all their attempts and time, under their request ids.

    What is done stays as it is. A letter is kept until its job has been handed over.
    """
    from cli import dead_letters

    if everything == bool(identities) or (code and not everything):
        raise typer.BadParameter("name letters, or say --all, with or without --code", param_hint="ID")
    return reported(as_json, functools.partial(dead_letters.replay, identities=identities, code=code))


@letters.command("drop", epilog=STATUSES)
def drop_letters(identities: Letters, as_json: Json = False) -> int:
    """Forget letters for good."""
    from cli import dead_letters

    return reported(as_json, functools.partial(dead_letters.drop, identities=identities))


@keys.command("new", epilog=STATUSES)
def new_key(
    name: Annotated[str, Argument(metavar="NAME", help="Whose key it is; jobs belong to this name.")],
    expires: Annotated[str, Option(metavar="YYYY-MM-DD", help="Its last day, in UTC.", show_default=False)] = "",
    requests_per_minute: Annotated[int | None, Option(metavar="N", help="Its own limit.", show_default=False)] = None,
    concurrent_jobs: Annotated[int | None, Option(metavar="N", help="Its own limit.", show_default=False)] = None,
    calls_per_day: Annotated[int | None, Option(metavar="N", help="Its own limit.", show_default=False)] = None,
    dollars_per_day: Annotated[float | None, Option(metavar="X", help="Its own limit.", show_default=False)] = None,
    as_json: Json = False,
) -> int:
    """Make an API key and the entry for API_KEYS by which the endpoint knows it.

    The key is shown once and kept nowhere.
    """
    from cli.keys import make  # needs the product's own modules, as check-env does

    about = {
        "expires": expires or None,
        "requests_per_minute": requests_per_minute,
        "concurrent_jobs": concurrent_jobs,
        "calls_per_day": calls_per_day,
        "dollars_per_day": dollars_per_day,
    }
    return reported(as_json, functools.partial(make, name=name, about=about))


def run(arguments: Sequence[str]) -> int:
    """Run one command; return the exit status."""
    signal.signal(signal.SIGTERM, _end)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        return int(app(list(arguments), prog_name=NAME, standalone_mode=False) or 0)
    except typer.TyperException as error:
        return _usage(error)


def _usage(error: typer.TyperException) -> int:
    sentence = error.format_message() if hasattr(error, "format_message") else str(error)
    sys.stderr.write(f"{sentence.rstrip('.')}. See {NAME} --help.\n")
    return Exit.USAGE


def _end(number: int, _: FrameType | None) -> None:
    """End as other programs do, but with the cursor back on the terminal."""
    sys.exit(128 + number)
