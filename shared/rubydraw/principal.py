"""The caller: who owns jobs, and whose account calls are charged to."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """What one principal may do; None: the limit that the settings have for everybody."""

    requests_per_minute: int | None = None
    concurrent_jobs: int | None = None
    calls_per_day: int | None = None
    dollars_per_day: float | None = None


class Principal(NamedTuple):
    """
    A caller.

    `owner`: who owns the caller's jobs, so that nobody else sees them; empty with `ACCESS=off`. `account`: the name
    under which requests and calls are counted: the owner, or the client's address with `ACCESS=off`.
    """

    owner: str = ""
    account: str = ""
    limits: Limits = Limits()


NOBODY = Principal()
"""A caller of whom nothing is known."""
