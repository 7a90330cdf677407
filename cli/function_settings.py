"""The functions' own settings, for a command of operators that uses a few of them."""

from __future__ import annotations

from collections.abc import Mapping

from rubydraw.settings import BadSettings, Settings

from cli.failure import Exit, Failure


def read(environment: Mapping[str, str], *needed: str) -> Settings:
    """Return the settings; only the `needed` ones must be there. Raise Failure, naming everything that is wrong."""
    given = {name: value for name, value in environment.items() if value}
    if missing := [name for name in needed if name not in given]:
        raise Failure(Exit.REFUSED, f"Settings that are missing: {', '.join(missing)}. No service was asked.")
    unused = {"REDIS_URL": "redis://unused", "GEMINI_MODE": "api", "GEMINI_API_KEY": "unused"}
    try:
        return Settings.from_env(unused | given)
    except BadSettings as bad:
        raise Failure(Exit.REFUSED, f"{bad}. No service was asked.") from None
