"""`budget`: what operators are told of today's spend."""

from __future__ import annotations

import redis.asyncio
from rubydraw import keys

from tests.cli.conftest import Cli
from tests.servers import free_port


async def test_todays_spend_is_told(environment: dict[str, str], raw: redis.asyncio.Redis) -> None:
    """Calls and dollars beside their ceilings; another day's are not today's."""
    cli = Cli(**environment)
    seconds, _ = await raw.time()
    await raw.hset(keys.BUDGET, mapping={"day": seconds // 86_400, "calls": 12, "microdollars": 806_400})
    ended = cli.run("budget", DAILY_CALLS="500")
    assert [0, "calls    12 of 500\ndollars  0.81 of unlimited\n"] == [ended.status, ended.out]
    await raw.hincrby(keys.BUDGET, "day", -1)
    assert "calls    0 of unlimited" == cli.run("budget").out.splitlines()[0]


async def test_what_cannot_be_read_is_one_sentence(environment: dict[str, str]) -> None:
    """3 where Redis is away, 1 where its address is missing or cannot be read."""
    away = Cli(**environment).run("budget", REDIS_URL=f"redis://:canary@127.0.0.1:{free_port()}/0")
    assert (3, "Redis does not answer, or does not accept the user and password.") == (away.status, away.sentence)
    bad = Cli().run("budget", REDIS_URL="redis://:canary#@127.0.0.1/0")
    assert (1, True) == (bad.status, bad.sentence.startswith("Settings that cannot be used: REDIS_URL must look like"))
    assert "canary" not in bad.err
    nowhere = Cli().run("budget")
    assert (1, "Settings that are missing: REDIS_URL. No service was asked.") == (nowhere.status, nowhere.sentence)


async def test_an_address_is_all_it_needs(redis_url: str, raw: redis.asyncio.Redis) -> None:
    """Whoever asks what was spent needs no key of Gemini's; ceilings that nobody named here are not told."""
    cli = Cli(REDIS_URL=redis_url)
    for empty in ({}, {"DAILY_CALLS": "", "DAILY_DOLLARS": ""}):
        ended = cli.run("budget", **empty)
        assert [0, "calls    0\ndollars  0.00\n"] == [ended.status, ended.out]
        assert {"exitStatus": 0, "calls": 0, "dollars": 0.0} == cli.run("budget", "--json", **empty).json
    ended = cli.run("budget", DAILY_DOLLARS="7.5")
    assert "calls    0\ndollars  0.00 of 7.50\n" == ended.out
    assert {"exitStatus": 0, "calls": 0, "dollars": 0.0, "dailyCalls": None} == cli.run(
        "budget", "--json", DAILY_CALLS="unlimited"
    ).json
