"""Names, options and help of each command for operators; these need the product's own modules, loaded when they run."""

from __future__ import annotations

import functools
from typing import Annotated

import typer
from typer import Argument, Option

from cli.options import STATUSES, Json
from cli.report import reported

operators = typer.Typer()
"""Added to the other commands without a group name of its own."""

letters = typer.Typer(
    help="List, show, replay or drop the jobs that were given up; for operators.",
    epilog=STATUSES,
    rich_markup_mode=None,
)
operators.add_typer(letters, name="dead-letters")

keys = typer.Typer(help="Make API keys for an endpoint; for its operator.")
operators.add_typer(keys, name="keys")

Letters = Annotated[list[str], Argument(metavar="ID", help="Request ids; for letters without one, message ids.")]


OWN_LIMIT = "Limit of this key, in place of the endpoint's."


@operators.command("budget", epilog=STATUSES)
def budget(as_json: Json = False) -> int:
    """Say what calls have cost today, for operators.

    Read from the Redis of this environment: calls and dollars since midnight UTC, all callers together. A call in
    progress counts with what is reserved for it.
    """
    from cli.budget import show

    return reported(as_json, show)


@operators.command("check-env", epilog=STATUSES)
def check_env(as_json: Json = False) -> int:
    """Check the settings in this environment, for operators.

    Every setting of the functions is listed, secrets masked; then Redis, the archive, the topics and Gemini are
    asked whether they are there, which costs nothing. Exit status 0 means that all is well.
    """
    from cli.check_env import check

    return reported(as_json, check)


@letters.command("list", epilog=STATUSES)
def list_letters(as_json: Json = False) -> int:
    """List the jobs that were given up, each once."""
    from cli import dead_letters

    return reported(as_json, dead_letters.list_)


@letters.command("show", epilog=STATUSES)
def show_letter(
    identity: Annotated[str, Argument(metavar="ID", help="A request id; for a letter without one, its message id.")],
    as_json: Json = False,
) -> int:
    """Tell when and why a job was given up, and how large it is; never what was drawn or asked for."""
    from cli import dead_letters

    return reported(as_json, functools.partial(dead_letters.show, identity=identity))


@letters.command("replay", epilog=STATUSES)
def replay_letters(
    identities: Letters = [],  # noqa: B006 -- typer's way to say that there may be none
    everything: Annotated[bool, Option("--all", help="Replay every letter; name no ids.")] = False,
    code: Annotated[str | None, Option(metavar="CODE", help="With --all: replay only letters with this code.")] = None,
    as_json: Json = False,
) -> int:
    """Have jobs done again, with all their attempts and time, under their request ids.

    A job that is done stays as it is. A letter is kept until its job has been published again.
    """
    from cli import dead_letters

    if everything == bool(identities) or (code and not everything):
        raise typer.BadParameter("name letters, or use --all, with or without --code", param_hint="ID")
    return reported(as_json, functools.partial(dead_letters.replay, identities=identities, code=code))


@letters.command("drop", epilog=STATUSES)
def drop_letters(identities: Letters, as_json: Json = False) -> int:
    """Forget letters for good."""
    from cli import dead_letters

    return reported(as_json, functools.partial(dead_letters.drop, identities=identities))


@keys.command("new", epilog=STATUSES)
def new_key(
    name: Annotated[str, Argument(metavar="NAME", help="Name of the key's owner, to whom the jobs will belong.")],
    expires: Annotated[str, Option(metavar="YYYY-MM-DD", help="The key's last day, in UTC.", show_default=False)] = "",
    requests_per_minute: Annotated[int | None, Option(metavar="N", help=OWN_LIMIT, show_default=False)] = None,
    concurrent_jobs: Annotated[int | None, Option(metavar="N", help=OWN_LIMIT, show_default=False)] = None,
    calls_per_day: Annotated[int | None, Option(metavar="N", help=OWN_LIMIT, show_default=False)] = None,
    dollars_per_day: Annotated[float | None, Option(metavar="X", help=OWN_LIMIT, show_default=False)] = None,
    as_json: Json = False,
) -> int:
    """Make an API key and the entry for API_KEYS by which the endpoint knows it.

    The key is shown once and kept nowhere.
    """
    from cli.keys import make

    about = {
        "expires": expires or None,
        "requests_per_minute": requests_per_minute,
        "concurrent_jobs": concurrent_jobs,
        "calls_per_day": calls_per_day,
        "dollars_per_day": dollars_per_day,
    }
    return reported(as_json, functools.partial(make, name=name, about=about))
