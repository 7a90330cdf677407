"""One poll after the other on a real Valkey: each tells the truth, and a picture leaves Redis once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import redis.asyncio
from rubydraw import keys, watch
from rubydraw.drawings.results import Results
from rubydraw.errors import Code
from rubydraw.jobs.message import JobMessage
from rubydraw.jobs.transitions import Jobs
from rubydraw.jobs.updates import Updates
from rubydraw.redis.store import Store
from rubydraw.watch import Watch

from tests.sketches import drawing, job, png

PICTURE_BYTES = 500_000
DRAWING = drawing(image=png() + bytes(PICTURE_BYTES))
OWNER = "someone"

Cost = Callable[[], Awaitable[tuple[int, int]]]


@pytest.fixture
def results(store: Store) -> Results:
    return Results(store)


@pytest.fixture
def polls(store: Store, jobs: Jobs, results: Results) -> Watch:
    return Watch(jobs, results, Updates(store.connection))


@pytest.fixture
async def cost(raw: redis.asyncio.Redis) -> Cost:
    """What Redis has read and sent since it was asked last: round trips, and how many pictures."""
    last = [0, 0]

    async def since() -> tuple[int, int]:
        stats = await raw.info("stats")
        now = [stats["total_reads_processed"], stats["total_net_output_bytes"]]
        reads, sent_bytes = (after - before for after, before in zip(now, last, strict=True))
        last[:] = now
        this_question = 1
        return reads - this_question, sent_bytes // PICTURE_BYTES

    return since


async def queued(jobs: Jobs) -> JobMessage:
    message = job()
    await jobs.submit(message.request_id, "queued", digest=message.digest, owner=OWNER, trace="")
    return message


async def completed(jobs: Jobs, message: JobMessage, digest: str = "") -> None:
    await jobs.complete(message, "t1", digest=digest or message.digest, outcome="HIT")


async def test_a_job_that_is_polled_takes_one_round_trip_and_one_picture(
    polls: Watch, jobs: Jobs, results: Results, cost: Cost
) -> None:
    """While it is worked on, when it is done, and afterwards."""
    message = await queued(jobs)
    await polls.once(message.request_id, OWNER)
    await cost()
    for _ in range(3):
        assert "queued" == (await polls.once(message.request_id, OWNER)).status
        assert (1, 0) == await cost()
    await results.put(message.digest, DRAWING)
    await completed(jobs, message)
    await cost()
    for _ in range(2):
        assert ("done", DRAWING) == told(await polls.once(message.request_id, OWNER))
        assert (1, 1) == await cost()


async def test_a_job_that_is_met_when_it_is_done_takes_two(
    polls: Watch, jobs: Jobs, results: Results, cost: Cost
) -> None:
    """Its digest is known only then; from the second poll on it takes one."""
    message = await queued(jobs)
    await results.put(message.digest, DRAWING)
    await completed(jobs, message)
    taken = []
    for _ in range(3):
        await cost()
        assert ("done", DRAWING) == told(await polls.once(message.request_id, OWNER))
        taken.append(await cost())
    assert [(2, 1), (1, 1), (1, 1)] == taken


async def test_a_drawing_that_is_to_be_replaced_is_sent_in_vain_but_once(
    polls: Watch, jobs: Jobs, results: Results, cost: Cost
) -> None:
    """It is there already while the job is not done; then the new one comes."""
    message = await queued(jobs)
    await results.put(message.digest, DRAWING)
    await cost()
    for _ in range(5):
        assert ("queued", None) == told(await polls.once(message.request_id, OWNER))
    assert (5, 1) == await cost()
    new = drawing(title="A new one")
    await results.put(message.digest, new)
    await completed(jobs, message)
    assert ("done", new) == told(await polls.once(message.request_id, OWNER))


@pytest.mark.parametrize("selected", [{"with_drawing": False}, {"with_image": False}])
async def test_what_is_not_selected_is_not_read_along(
    polls: Watch, jobs: Jobs, results: Results, cost: Cost, selected: dict[str, bool]
) -> None:
    """No picture leaves Redis for who wants none, though his neighbour has had it."""
    message = await queued(jobs)
    await results.put(message.digest, DRAWING)
    await completed(jobs, message)
    await polls.once(message.request_id, OWNER)
    await cost()
    seen = await polls.once(message.request_id, OWNER, **selected)
    assert (("done", b"") if "with_image" in selected else ("done", None)) == (
        seen.status, seen.drawing and seen.drawing.image,
    )  # fmt: skip
    assert (1, 0) == await cost()


async def test_a_job_that_is_done_under_another_digest_has_that_drawing(
    polls: Watch, jobs: Jobs, results: Results
) -> None:
    """A worker of another revision has drawn it: what was read along is another's."""
    message, other = await queued(jobs), drawing(title="Drawn by another revision")
    await polls.once(message.request_id, OWNER)
    await results.put(message.digest, DRAWING)
    await results.put("d2", other)
    await completed(jobs, message, "d2")
    for _ in range(2):
        assert ("done", other) == told(await polls.once(message.request_id, OWNER))


async def test_a_remembered_job_is_still_nobody_elses(polls: Watch, jobs: Jobs, results: Results) -> None:
    """Whoever polled it before."""
    message = await queued(jobs)
    await results.put(message.digest, DRAWING)
    await completed(jobs, message)
    await polls.once(message.request_id, OWNER)
    assert ("not_found", None) == told(await polls.once(message.request_id, "somebody else"))


async def test_a_remembered_drawing_may_be_gone(
    polls: Watch, jobs: Jobs, results: Results, raw: redis.asyncio.Redis
) -> None:
    """It reads as expired, as one that was never met, and is there again once it has been drawn again."""
    message = await queued(jobs)
    await results.put(message.digest, DRAWING)
    await completed(jobs, message)
    await polls.once(message.request_id, OWNER)
    await raw.delete(keys.result(message.digest))
    seen = await polls.once(message.request_id, OWNER)
    assert ("error", "RESULT_EXPIRED", None) == (seen.status, seen.code, seen.drawing)
    await results.put(message.digest, DRAWING)
    assert ("done", DRAWING) == told(await polls.once(message.request_id, OWNER))


async def test_a_failure_that_only_a_newer_revision_knows_may_be_tried_again(
    polls: Watch, jobs: Jobs, raw: redis.asyncio.Redis
) -> None:
    """While both run, or when the newer one has been taken back."""
    message = await queued(jobs)
    await raw.hset(keys.status(message.request_id), mapping={"status": "error", "code": "NOT_YET_THOUGHT_OF"})
    seen = await polls.once(message.request_id, OWNER)
    assert ("error", Code.UNAVAILABLE) == (seen.status, seen.code)


async def test_a_drawing_that_redis_would_not_take_is_told_all_the_same(
    polls: Watch, jobs: Jobs, results: Results, raw: redis.asyncio.Redis
) -> None:
    """The one that this process holds, not the one that it was to replace."""
    message, new = await queued(jobs), drawing(title="A new one")
    await results.put(message.digest, DRAWING)
    await completed(jobs, message)
    await polls.once(message.request_id, OWNER)
    await raw.config_set("maxmemory-policy", "noeviction")
    await raw.config_set("maxmemory", "1")
    await results.save(message.digest, new)
    assert ("done", new) == told(await polls.once(message.request_id, OWNER))


async def test_no_more_jobs_are_remembered_than_that(polls: Watch, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was polled last is forgotten last."""
    monkeypatch.setattr(watch, "REMEMBERED", 2)
    first, second, third = [(await queued(jobs)).request_id for _ in range(3)]
    for request_id in (first, second, first, third):
        await polls.once(request_id, OWNER)
    assert [first, third] == list(polls._digests)


def told(seen: watch.Seen) -> tuple[str, object]:
    return seen.status, seen.drawing
