"""How many requests a caller may send, on a real Valkey: exactly as many, over processes, in any minute."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.drawings.results import Results
from rubydraw.errors import RateLimited, StoreUnavailable
from rubydraw.limits.quotas import Charge, Quota, Quotas
from rubydraw.principal import Limits, Principal
from rubydraw.redis.store import Store, connect

from tests.sketches import drawing

ADA, BO = Principal(account="ada"), Principal(account="bo")


async def passes(charge: Charge, *, whole: bool = False) -> bool:
    try:
        await (charge.pay_whole() if whole else charge.pay_cached())
    except RateLimited:
        return False
    return True


async def test_as_many_as_the_limit_pass_over_two_processes(store: Store, redis_url: str) -> None:
    """Of 300 whole requests at once 60 pass, and of 900 cached ones 600."""
    other = connect(redis_url, "")
    both = [Quotas(each, requests_per_minute=60) for each in (store, other)]
    whole = await asyncio.gather(*(passes(both[n % 2].charge(ADA), whole=True) for n in range(300)))
    cached = await asyncio.gather(*(passes(both[n % 2].charge(BO)) for n in range(900)))
    await other.close()
    assert (60, 600) == (sum(whole), sum(cached))


async def test_in_no_minute_more_pass(store: Store, raw: redis.asyncio.Redis) -> None:
    """What was used less than a minute ago counts, what was used before does not."""
    quotas = Quotas(store, requests_per_minute=2)
    assert await passes(quotas.charge(ADA), whole=True)
    await shift(raw, 50)
    assert await passes(quotas.charge(ADA), whole=True)
    assert not await passes(quotas.charge(ADA), whole=True)
    await shift(raw, 49)
    assert not await passes(quotas.charge(ADA), whole=True)
    await shift(raw, 3)
    assert await passes(quotas.charge(ADA), whole=True)
    assert not await passes(quotas.charge(ADA), whole=True)


async def shift(raw: redis.asyncio.Redis, slices: int) -> None:
    """Have everything that was used been used so many hundredths of a minute earlier."""
    key = keys.quota("ada")
    by_slice: dict[Any, Any] = await raw.hgetall(key)
    used, oldest = by_slice.pop(b"used"), int(by_slice.pop(b"oldest"))
    earlier: dict[Any, Any] = {str(int(slice_) - slices): count for slice_, count in by_slice.items()}
    await raw.delete(key)
    await raw.hset(key, mapping={"used": used, "oldest": oldest - slices, **earlier})


async def test_a_caller_is_told_how_it_stands(store: Store) -> None:
    """Limit, what is left in whole requests, and the seconds until some comes back."""
    quotas = Quotas(store, requests_per_minute=3)
    charge = quotas.charge(ADA)
    await charge.pay_cached()
    assert charge.quota in (Quota(3, 2, 61), Quota(3, 2, 60))  # the next slice may have begun
    for _ in range(2):
        await charge.pay_whole()  # the rest of the same request, once
    assert charge.quota in (Quota(3, 2, 61), Quota(3, 2, 60))  # the next slice may have begun
    for _ in range(2):
        await quotas.charge(ADA).pay_whole()
    charge = quotas.charge(ADA)
    with pytest.raises(RateLimited) as limited:
        await charge.pay_cached()
    assert charge.quota in (Quota(3, 0, 61), Quota(3, 0, 60))
    assert 59 < (limited.value.retry_after_s or 0) <= 60.6


async def test_who_was_refused_is_refused_here_until_something_comes_back(store: Store) -> None:
    """A flood of refusals costs Redis nothing."""
    now_s = 1000.0
    quotas = Quotas(store, requests_per_minute=0, clock=lambda: now_s)
    quotas.charge(ADA).check()
    assert not await passes(quotas.charge(ADA))
    for _ in range(2):
        charge = quotas.charge(ADA)
        with pytest.raises(RateLimited) as limited:
            charge.check()
        assert (60, Quota(0, 0, 60)) == (limited.value.retry_after_s, charge.quota)
    quotas.charge(BO).check()
    now_s += 61
    quotas.charge(ADA).check()


async def test_a_charge_travels_with_the_read(store: Store, raw: redis.asyncio.Redis) -> None:
    """Also where Redis does not know the script yet; one round trip in all, and a refusal is one."""
    results, quotas = Results(store), Quotas(store, requests_per_minute=1)
    await results.put("d1", drawing())
    await raw.script_flush()
    for number in range(1, 11):
        assert await results.get("d1", charge=quotas.charge(ADA))
        assert number == int(await raw.hget(keys.quota("ada"), "used") or 0)
    await raw.delete(keys.quota("ada"))
    before = (await raw.info("stats"))["total_reads_processed"]
    assert await results.get("d1", charge=quotas.charge(ADA))
    assert 2 == (await raw.info("stats"))["total_reads_processed"] - before  # this question is one of them
    await raw.hincrby(keys.quota("ada"), "used", 9)
    with pytest.raises(RateLimited):
        await results.get("d1", charge=quotas.charge(ADA))


async def test_results_of_a_redis_of_their_own_are_charged_too(store: Store, redis_url: str) -> None:
    """The charge goes to the state's Redis, the read to that of the results."""
    other = connect(redis_url.replace("/0", "/1"), "")
    results, quotas = Results(other), Quotas(store, requests_per_minute=0)
    with pytest.raises(RateLimited):
        await results.get("d1", charge=quotas.charge(ADA))
    await other.close()


async def test_own_limits_go_first_and_unlimited_asks_nobody(store: Store, raw: redis.asyncio.Redis) -> None:
    """A key's own limit holds where the settings have none; without one nothing is counted."""
    quotas = Quotas(store, requests_per_minute=None)
    assert await passes(quotas.charge(ADA), whole=True)
    assert [] == await raw.keys("*")
    own = Principal(account="ada", limits=Limits(requests_per_minute=0))
    assert not await passes(quotas.charge(own))


async def test_nobody_is_refused_because_redis_is_away() -> None:
    """Calls are then bounded by the allowance of the instance."""
    away = connect("redis://127.0.0.1:1/0", "")
    quotas = Quotas(away, requests_per_minute=0)
    assert await passes(quotas.charge(ADA), whole=True)
    with pytest.raises(StoreUnavailable):
        await Results(away).get("d1", charge=quotas.charge(ADA))
    await away.close()


async def test_failed_authentications_are_few_a_minute(store: Store, raw: redis.asyncio.Redis) -> None:
    """Per address; one that fails no more than that is not hindered, and a flood of failures stays here."""
    quotas = Quotas(store, requests_per_minute=None)
    for _ in range(30):
        await quotas.failed_authentication("192.0.2.1")
    for _ in range(2):
        with pytest.raises(RateLimited):
            await quotas.failed_authentication("192.0.2.1")
        await raw.flushdb()
    await quotas.failed_authentication("192.0.2.2")


async def test_a_caller_who_comes_no_more_is_forgotten(store: Store, raw: redis.asyncio.Redis) -> None:
    """Soon after its minute: else each address that ever called would stay in Redis for ever."""
    await Quotas(store, requests_per_minute=2).charge(ADA).pay_whole()
    assert 60_000 <= await raw.pttl(keys.quota("ada")) <= 62_000
