"""Who asks: whose jobs these are, and on whose account calls are made."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """What one principal may do; None: as the settings say for everybody."""

    requests_per_minute: int | None = None
    concurrent_jobs: int | None = None
    calls_per_day: int | None = None
    dollars_per_day: float | None = None


class Principal(NamedTuple):
    """
    A caller.

    `owner`: to whom jobs belong, so that nobody else sees them; empty where access is off. `account`: under which
    name requests and calls are counted: the owner, or the client's address where access is off.
    """

    owner: str = ""
    account: str = ""
    limits: Limits = Limits()


NOBODY = Principal()
"""A caller of whom nothing is known."""
