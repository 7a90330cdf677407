"""What calls to Gemini have cost today, as the functions of this environment count it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from rich.text import Text
from rubydraw import budget, store
from rubydraw.errors import StoreUnavailable
from rubydraw.settings import Settings

from cli.failure import Exit, Failure
from cli.function_settings import read
from cli.report import Report


def show(report: Report, environment: Mapping[str, str] = os.environ) -> Exit:
    """Say what this UTC day has cost so far; raise Failure where that cannot be read."""
    settings = read(environment, "REDIS_URL")
    try:
        spent = asyncio.run(_spent(settings))
    except StoreUnavailable:
        raise Failure(Exit.TRY_AGAIN, "Redis does not answer, or does not accept user and password.") from None
    calls, dollars = settings.daily_calls, settings.daily_dollars
    report.knows(calls=spent.calls, dollars=spent.dollars, dailyCalls=calls, dailyDollars=dollars)
    return report.end(
        Text(f"calls    {spent.calls} of {'unlimited' if calls is None else calls}"),
        Text(f"dollars  {spent.dollars:.2f} of {'unlimited' if dollars is None else f'{dollars:.2f}'}"),
    )


async def _spent(settings: Settings) -> budget.Spent:
    connected = store.connect(settings.redis_url, settings.redis_ca_cert)
    try:
        return await budget.spent_today(connected)
    finally:
        await connected.close()
