"""A Redis that refuses to read: nobody knows what is kept, which is not the same as nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio
from rubydraw.drawings.flights import Flights
from rubydraw.drawings.glance import Glance
from rubydraw.drawings.results import Results
from rubydraw.errors import StoreUnavailable
from rubydraw.jobs.message import JobMessage
from rubydraw.jobs.transitions import Jobs
from rubydraw.redis.store import Store, connect

from tests.contract.job_record import LEASE_MS
from tests.sketches import HOUR_MS, drawing

DIGEST = "0123456789abcdef"


@pytest.fixture
async def unreadable(raw: redis.asyncio.Redis, redis_url: str) -> AsyncIterator[Store]:
    """A Store that may do everything but read a drawing, or a flight without taking it."""
    commands = ["-hmget", "-get"]
    await raw.acl_setuser(
        "unreadable", enabled=True, passwords=["+pass"], keys=["*"], channels=["*"], categories=["+@all"],
        commands=commands,
    )  # fmt: skip
    store = connect(redis_url.replace("redis://", "redis://unreadable:pass@"), "")
    yield store
    await store.close()
    await raw.acl_deluser("unreadable")


async def test_a_drawing_that_may_not_be_read_may_be_there(unreadable: Store, results: Results) -> None:
    """Taken for absent, it would be paid for again with each request."""
    await results.put(DIGEST, drawing())
    with pytest.raises(StoreUnavailable):
        await Results(unreadable).get(DIGEST)


async def test_a_look_is_blind_then(unreadable: Store, store: Store) -> None:
    """A call counts against this instance's allowance, too."""
    flights = Flights(store, Results(unreadable), lease_ms=LEASE_MS, heartbeat_ms=20, max_failures=3)
    look = await flights.look(DIGEST, token="t1")
    assert (True, True) == (look.ours, look.blind)


async def test_a_failure_that_may_not_be_read_is_no_fault_of_ours(unreadable: Store) -> None:
    """The job gets its attempt back."""
    flights = Flights(unreadable, Results(unreadable), lease_ms=LEASE_MS, heartbeat_ms=20, max_failures=3)
    with pytest.raises(StoreUnavailable):
        await flights.failed_for_s(DIGEST)


async def test_a_claim_stands_where_its_glance_is_refused(unreadable: Store, message: JobMessage) -> None:
    """Its attempt has begun; what is kept is asked for once more."""
    jobs = Jobs(unreadable, lease_ms=LEASE_MS, heartbeat_ms=20, max_attempts=3, max_age_ms=HOUR_MS)
    glance = Glance(Results(unreadable).along(unreadable, DIGEST, with_image=False))
    claim = await jobs.claim(message, "t1", glance)
    assert ("run", 1, False) == (claim.kind, claim.attempt, glance.taken)
