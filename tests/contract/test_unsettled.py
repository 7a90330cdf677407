"""How many jobs of a caller may be unsettled, on a real Valkey; no place is lost for longer than its job lives."""

from __future__ import annotations

import asyncio
import uuid

import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.errors import RateLimited
from rubydraw.jobs.unsettled import UnsettledJobs
from rubydraw.principal import Limits, Principal
from rubydraw.redis.store import Store

from tests.sketches import HOUR_MS

ADA, BO = Principal(account="ada"), Principal(account="bo")


async def taken(store: Store, places: UnsettledJobs, principal: Principal = ADA, request_id: str = "") -> str:
    """Take a place; answer the request id, or nothing where there is none."""
    request_id = request_id or str(uuid.uuid4())
    try:
        take = places.take(principal, request_id)
        for is_last in (False, True):
            if take is None or (await store.scripts(take))[0]:
                break
            await places.refused(take, is_final=is_last)
    except RateLimited as limited:
        assert limited.retry_after_s
        return ""
    return request_id


async def recorded(raw: redis.asyncio.Redis, status: str, *request_ids: str) -> None:
    for request_id in request_ids:
        await raw.hset(keys.status(request_id), "status", status)


async def test_only_so_many_have_a_place(store: Store) -> None:
    """Of 40 at once 5; another caller has its own, and a job that has one keeps it."""
    places = UnsettledJobs(store, limit=5, max_age_ms=HOUR_MS)
    got = [each for each in await asyncio.gather(*(taken(store, places) for _ in range(40))) if each]
    assert 5 == len(got)
    assert await taken(store, places, BO)
    assert got[0] == await taken(store, places, request_id=got[0])


@pytest.mark.parametrize(("status", "room"), [("queued", False), ("running", False), ("done", True), ("error", True)])
async def test_a_settled_job_has_no_place(store: Store, raw: redis.asyncio.Redis, status: str, room: bool) -> None:
    """Nobody gives it back: who finds all places taken looks at the jobs."""
    places = UnsettledJobs(store, limit=2, max_age_ms=HOUR_MS)
    await recorded(raw, "queued", await taken(store, places))
    await recorded(raw, status, await taken(store, places))
    assert room == bool(await taken(store, places))


async def test_a_job_that_is_gone_has_no_place(store: Store, raw: redis.asyncio.Redis) -> None:
    """Only one that was about to be recorded is waited for: a minute."""
    places = UnsettledJobs(store, limit=1, max_age_ms=HOUR_MS)
    one = await taken(store, places)
    assert not await taken(store, places)
    await raw.zincrby(keys.unsettled("ada"), -61_000, one)
    assert await taken(store, places)


async def test_no_place_outlives_its_job(store: Store, raw: redis.asyncio.Redis) -> None:
    """At the age at which a job expires its place does too."""
    places = UnsettledJobs(store, limit=1, max_age_ms=HOUR_MS)
    one = await taken(store, places)
    await recorded(raw, "queued", one)
    await raw.zincrby(keys.unsettled("ada"), -HOUR_MS, one)
    assert await taken(store, places)


async def test_own_limits_go_first(store: Store, raw: redis.asyncio.Redis) -> None:
    """A key's own limit; without any nothing is counted."""
    unlimited = UnsettledJobs(store, limit=None, max_age_ms=HOUR_MS)
    assert await taken(store, unlimited)
    assert [] == await raw.keys("*")
    assert not await taken(store, unlimited, Principal(account="ada", limits=Limits(concurrent_jobs=0)))


async def test_the_places_of_a_caller_who_comes_no_more_are_forgotten(store: Store, raw: redis.asyncio.Redis) -> None:
    """With the last of its jobs: else each address that ever sent one would stay in Redis for ever."""
    await taken(store, UnsettledJobs(store, limit=1, max_age_ms=HOUR_MS))
    assert 0 < await raw.pttl(keys.unsettled("ada")) <= HOUR_MS
