"""Dead letters, for operators: shows which jobs were given up, and has them done again or forgotten."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from rich.text import Text
from rubydraw.settings import Settings

from cli.failure import Exit, Failure
from cli.function_settings import read
from cli.letter import Letter
from cli.replay import Replay
from cli.report import Report
from cli.retained import Retained

SAFE = "Interrupted; no letter is lost: run the same command again to do the rest."
_Answer = TypeVar("_Answer")


def list_(report: Report, environment: Mapping[str, str] = os.environ) -> Exit:
    """List the letters, the oldest first; a letter with several copies is listed once."""
    settings = read(environment, "DEAD_LETTER_TOPIC")

    async def summaries() -> list[dict[str, Any]]:
        async with _retained(settings) as retained:
            return [letter.summary() async for letter in _once(retained)]

    letters = sorted(_run(report, summaries()), key=lambda letter: str(letter["givenUpAt"]))
    report.knows(letters=letters)
    for letter in letters:
        report.say(Text(_line(letter)))
    return report.end(Text(_counted(len(letters), "dead letter", none="No dead letters.")))


def show(report: Report, identity: str, environment: Mapping[str, str] = os.environ) -> Exit:
    """Show everything about a letter, except for the sketch."""
    settings = read(environment, "DEAD_LETTER_TOPIC")

    async def described() -> list[dict[str, Any]]:
        async with _retained(settings) as retained:
            found = [letter async for letter in _once(retained) if letter.named((identity,))]
            return [letter.described() for letter in found]

    letters = _run(report, described())
    report.knows(letters=letters)
    if not letters:
        raise _unknown([identity])
    for letter in letters:
        report.say(*(Text(f"{name:<16} {value}") for name, value in letter.items() if value not in (None, "")))
    return report.end()


def replay(
    report: Report, identities: Sequence[str], code: str | None, environment: Mapping[str, str] = os.environ
) -> Exit:
    """Have jobs done again: those named; if none is named, those of this code, or all."""
    settings = read(environment, "DEAD_LETTER_TOPIC", "PUBSUB_TOPIC", "REDIS_URL")
    missing = set(identities)

    async def replayed() -> Replay:
        async with _retained(settings) as retained, aclosing(Replay(settings, retained, report)) as again:
            async for letter in retained.letters():
                if letter.named(identities) or (not identities and code in (None, letter.code)):
                    missing.difference_update(letter.named(identities))
                    await again(letter)
            return again

    again = _run(report, replayed())
    report.knows(unknown=sorted(missing), **again.told)
    if trouble := again.trouble():
        raise trouble
    if missing:
        raise _unknown(sorted(missing))
    return report.end(Text(_counted(len(again.told["queued"]), "job", " queued again", none="Nothing was queued.")))


def drop(report: Report, identities: Sequence[str], environment: Mapping[str, str] = os.environ) -> Exit:
    """Forget letters for good, all copies of them."""
    settings = read(environment, "DEAD_LETTER_TOPIC")
    missing, dropped = set(identities), set()

    async def forget() -> None:
        async with _retained(settings) as retained:
            async for letter in retained.letters():
                if named := letter.named(identities):
                    await retained.acknowledge(letter)
                    missing.difference_update(named)
                    dropped.add(letter.key)

    _run(report, forget())
    report.knows(dropped=sorted({identity for identity, _ in dropped}), unknown=sorted(missing))
    if missing:
        raise _unknown(sorted(missing))
    return report.end(Text(_counted(len(dropped), "dead letter", " dropped", none="")))


def _retained(settings: Settings) -> Retained:
    """Return the letters of the subscription, which has the topic's name in Terraform and on the laptop."""
    return Retained(settings.pubsub_url, settings.dead_letter_topic.replace("/topics/", "/subscriptions/"))


async def _once(retained: Retained) -> AsyncIterator[Letter]:
    """Yield one copy of each letter."""
    seen = set()
    async for letter in retained.letters():
        if letter.key not in seen:
            seen.add(letter.key)
            yield letter


def _run(report: Report, work: Coroutine[Any, Any, _Answer]) -> _Answer:
    report.if_interrupted = SAFE
    return asyncio.run(work)


def _line(letter: Mapping[str, Any]) -> str:
    generation = f"  generation {letter['generation']}" if letter["generation"] else ""
    return f"{letter['id']:<36}  {letter['givenUpAt']}  {letter['code']}  {letter['dataBytes']:,} bytes{generation}"


def _counted(count: int, what: str, became: str = "", *, none: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}{became}." if count else none


def _unknown(identities: Sequence[str]) -> Failure:
    return Failure(
        Exit.UNKNOWN_ID,
        f"There is no dead letter of {', '.join(map(ascii, identities))}, or another command holds it now.",
    )
