"""What calls to Gemini have cost today, as the functions of this environment count it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from rich.text import Text
from rubydraw.errors import StoreUnavailable
from rubydraw.limits import budget
from rubydraw.redis import store
from rubydraw.settings import Settings

from cli.failure import Exit, Failure
from cli.function_settings import read
from cli.report import Report


def show(report: Report, environment: Mapping[str, str] = os.environ) -> Exit:
    """
    Say what this UTC day has cost so far, and the ceilings set in this environment; those of the functions may differ.

    Raises Failure if Redis cannot be read.
    """
    settings = read(environment, "REDIS_URL")
    try:
        spent = asyncio.run(_spent(settings))
    except StoreUnavailable:
        raise Failure(Exit.TRY_AGAIN, "Redis does not answer, or does not accept the user and password.") from None
    report.knows(calls=spent.calls, dollars=spent.dollars)
    calls, dollars = f"calls    {spent.calls}", f"dollars  {spent.dollars:.2f}"
    if environment.get("DAILY_CALLS"):
        report.knows(dailyCalls=settings.daily_calls)
        calls += f" of {'unlimited' if settings.daily_calls is None else settings.daily_calls}"
    if environment.get("DAILY_DOLLARS"):
        report.knows(dailyDollars=settings.daily_dollars)
        dollars += f" of {'unlimited' if settings.daily_dollars is None else f'{settings.daily_dollars:.2f}'}"
    return report.end(Text(calls), Text(dollars))


async def _spent(settings: Settings) -> budget.Spent:
    connected = store.connect(settings.redis_url, settings.redis_ca_cert)
    try:
        return await budget.spent_today(connected)
    finally:
        await connected.close()
