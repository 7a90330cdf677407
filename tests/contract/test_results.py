"""Drawings on a real Valkey: one copy each, and whatever is not one of ours is no drawing."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.drawing import Drawing
from rubydraw.drawings.results import MAX_UNSAVED, Results
from rubydraw.errors import RateLimited, StoreUnavailable
from rubydraw.limits.quotas import Quotas
from rubydraw.principal import Principal
from rubydraw.redis.store import Store, connect

from tests.servers import free_port
from tests.sketches import HOUR_MS, drawing, now_ms, png

DIGEST = "0123456789abcdef"
KEY = keys.result(DIGEST)
WEEK_MS = 7 * 24 * HOUR_MS
LIFE_FOR_A_JOB_MS = 65 * 60 * 1000


async def test_drawing_comes_back_as_it_was_put(results: Results, raw: redis.asyncio.Redis) -> None:
    """Its image is kept as raw bytes, for seven days."""
    kept = drawing()
    await results.put(DIGEST, kept)
    assert kept == await results.get(DIGEST)
    assert kept.image == await raw.hget(KEY, "image")
    assert WEEK_MS - 5000 < await raw.pttl(KEY) <= WEEK_MS


async def test_drawing_with_fallback_metadata_lives_for_65_minutes(results: Results, raw: redis.asyncio.Redis) -> None:
    """The next call may bring better words."""
    await results.put(DIGEST, drawing(fallback_metadata=True))
    assert LIFE_FOR_A_JOB_MS - 5000 < await raw.pttl(KEY) <= LIFE_FOR_A_JOB_MS


async def test_unknown_digest_is_a_miss(results: Results) -> None:
    """Neither a drawing nor something for a job."""
    assert None is await results.get(DIGEST)
    assert not await results.extend_life(DIGEST)


async def test_image_stays_in_redis_unless_asked_for(results: Results, raw: redis.asyncio.Redis) -> None:
    """A hundred reads of the words move less than one image of a megabyte."""
    kept = drawing(image=png() + bytes(1024 * 1024))
    await results.put(DIGEST, kept)
    before = (await raw.info("stats"))["total_net_output_bytes"]
    for _ in range(50):
        assert b"" == (await results.get(DIGEST, with_image=False) or kept).image
        assert await results.extend_life(DIGEST)
    assert (await raw.info("stats"))["total_net_output_bytes"] - before < 1024 * 1024
    assert kept == await results.get(DIGEST)


@pytest.mark.parametrize(
    ("life_ms", "stretched_ms"),
    [(10_000, LIFE_FOR_A_JOB_MS), (LIFE_FOR_A_JOB_MS + HOUR_MS, LIFE_FOR_A_JOB_MS + HOUR_MS), (WEEK_MS, WEEK_MS)],
    ids=["stretched", "left", "left for a week"],
)
async def test_life_is_stretched_for_a_job_and_never_cut(
    results: Results, raw: redis.asyncio.Redis, life_ms: int, stretched_ms: int
) -> None:
    """It outlives the job that is about to name it."""
    await results.put(DIGEST, drawing())
    await raw.pexpire(KEY, life_ms)
    assert await results.extend_life(DIGEST)
    assert stretched_ms - 5000 < await raw.pttl(KEY) <= stretched_ms


async def test_new_drawing_takes_the_place_of_the_old(results: Results, raw: redis.asyncio.Redis) -> None:
    """Nothing of the old one is left beside it."""
    await results.put(DIGEST, drawing(title="old"))
    await raw.hset(KEY, "foreign", "field")
    await results.put(DIGEST, drawing(title="new", palette=()))
    found = await results.get(DIGEST)
    assert ("new", ()) == (found and (found.title, found.palette))
    assert not await raw.hexists(KEY, "foreign")


async def test_an_older_drawing_takes_the_place_of_no_newer_one(results: Results) -> None:
    """A copy out of the archive may come late, and so may what was held in another instance."""
    newer = drawing(title="new")
    await results.put(DIGEST, newer)
    await results.put(DIGEST, drawing(title="old", created_at_ms=now_ms() - 1000))
    assert newer == await results.get(DIGEST)


async def test_a_drawing_dated_by_a_fast_clock_keeps_no_other_out(results: Results) -> None:
    """Without Redis it had the time of its own instance: it is as old as its storing, at the most."""
    await results.put(DIGEST, drawing(title="old", created_at_ms=now_ms() + HOUR_MS))
    found = await results.get(DIGEST)
    assert found
    assert found.created_at_ms <= now_ms()
    await results.put(DIGEST, newer := drawing(title="new"))
    assert newer == await results.get(DIGEST)


async def test_a_drawing_that_redis_refuses_leaves_the_old_one_whole(
    results: Results, store: Store, raw: redis.asyncio.Redis
) -> None:
    """Nothing is gone before there is room."""
    await results.put(DIGEST, old := drawing(title="old", created_at_ms=now_ms() - 1000))
    await raw.config_set("maxmemory-policy", "noeviction")
    await raw.config_set("maxmemory", "1")
    with pytest.raises(StoreUnavailable):
        await results.put(DIGEST, drawing(title="new"))
    assert old == await Results(store).get(DIGEST)


BROKEN: dict[str, dict[Any, Any]] = {
    "image is no PNG": {"image": b"GIF89a and so on"},
    "image is cut to its signature's half": {"image": b"\x89PN"},
    "image is empty": {"image": b""},
    "palette is no JSON": {"palette": b"red, green"},
    "palette is no list": {"palette": b'{"a": 1}'},
    "palette holds numbers": {"palette": b"[1, 2]"},
    "time is no number": {"created_at_ms": b"yesterday"},
    "image and time are wrong": {"image": b"", "created_at_ms": b"9999999999999"},
    "duration is no number": {"provider_ms": b""},
    "duration is a number to Python alone": {"provider_ms": b"1_0"},
    "palette begins with a blank": {"palette": b' ["#000000"]'},
    "image is its signature": {"image": b"\x89PNG\r\n\x1a\n"},
    "title is no UTF-8": {"title": b"\xff\xfe"},
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_damaged_drawing_is_a_miss_and_written_over(
    results: Results, raw: redis.asyncio.Redis, broken: dict[Any, Any]
) -> None:
    """A reader never fails over it, and a job never names it."""
    await results.put(DIGEST, drawing())
    await raw.hset(KEY, mapping=broken)
    assert None is await results.get(DIGEST)
    assert not ("palette" in broken and await results.extend_life(DIGEST))
    await _written_over(results)


@pytest.mark.parametrize("field", ["image", "title", "palette", "model", "created_at_ms"])
async def test_drawing_without_a_field_is_a_miss(results: Results, raw: redis.asyncio.Redis, field: str) -> None:
    """Half a drawing is none."""
    await results.put(DIGEST, drawing())
    await raw.hdel(KEY, field)
    assert None is await results.get(DIGEST)
    assert not await results.extend_life(DIGEST)
    await _written_over(results)


async def test_image_that_a_job_could_not_show_is_not_kept_for_it(results: Results, raw: redis.asyncio.Redis) -> None:
    """An empty image is found out without moving it."""
    await results.put(DIGEST, drawing())
    await raw.hset(KEY, "image", b"")
    assert not await results.extend_life(DIGEST)


@pytest.mark.parametrize("kind", ["string", "list", "set"])
async def test_foreign_value_under_the_key_is_a_miss(results: Results, raw: redis.asyncio.Redis, kind: str) -> None:
    """Whoever wrote it, it is written over."""
    match kind:
        case "string":
            await raw.set(KEY, "a pickle, say")
        case "list":
            await raw.rpush(KEY, "a", "b")
        case "set":
            await raw.sadd(KEY, "a")
    assert None is await results.get(DIGEST)
    assert not await results.extend_life(DIGEST)
    await _written_over(results)


async def _written_over(results: Results) -> None:
    fresh = drawing(title="fresh")
    await results.put(DIGEST, fresh)
    assert fresh == await results.get(DIGEST)


async def test_drawing_that_redis_refuses_is_held_and_written_later(
    results: Results, store: Store, raw: redis.asyncio.Redis
) -> None:
    """It was paid for: this process serves it while memory is short, and stores it when there is room."""
    await raw.config_set("maxmemory-policy", "noeviction")
    await raw.config_set("maxmemory", "1")
    paid_for = drawing()
    with pytest.raises(StoreUnavailable):
        await results.put(DIGEST, paid_for)
    await results.save(DIGEST, paid_for)
    assert paid_for == await results.get(DIGEST)
    assert None is await Results(store).get(DIGEST)
    await raw.config_set("maxmemory", "256mb")
    assert paid_for == await results.get(DIGEST)
    assert paid_for == await Results(store).get(DIGEST)


async def test_an_older_drawing_that_is_stored_leaves_the_newer_one_that_is_held(results: Results) -> None:
    """What an archive had has come between."""
    results._hold(DIGEST, newer := drawing(title="new"))
    await results.put(DIGEST, drawing(title="old", created_at_ms=now_ms() - 1000))
    assert newer == await results.get(DIGEST)


async def test_newer_drawing_takes_the_place_of_one_that_is_held(cut_off: Results) -> None:
    """What was drawn anew while Redis is away is not answered with what it replaces."""
    await cut_off.save(DIGEST, drawing(title="old"))
    await cut_off.save(DIGEST, fresh := drawing(title="new"))
    assert fresh == await cut_off.get(DIGEST)


async def test_a_held_drawing_gives_way_to_a_newer_one_of_another_instance(
    results: Results, store: Store, raw: redis.asyncio.Redis
) -> None:
    """Whichever way it is read next, it is not stored over what was drawn and paid for since."""
    for read in (results.get, results.put_held):
        await raw.config_set("maxmemory-policy", "noeviction")
        await raw.config_set("maxmemory", "1")
        await results.save(DIGEST, drawing(title="old", created_at_ms=now_ms() - 1000))
        await raw.config_set("maxmemory", "256mb")
        newer = drawing(title="new")
        await Results(store).put(DIGEST, newer)
        await read(DIGEST)
        assert newer == await results.get(DIGEST) == await Results(store).get(DIGEST)
        await raw.flushall()


async def test_each_held_drawing_has_its_own_ten_minutes(cut_off: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of one that another has replaced does not end that one's."""
    ends: list[asyncio.TimerHandle] = []
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def noted(*args: Any) -> asyncio.TimerHandle:
        ends.append(call_later(*args))
        return ends[-1]

    with monkeypatch.context() as patched:
        patched.setattr(loop, "call_later", noted)
        cut_off._hold(DIGEST, drawing(title="old"))
        cut_off._hold(DIGEST, fresh := drawing(title="new"))
    assert [True, False] == [end.cancelled() for end in ends]
    assert fresh == await cut_off.get(DIGEST)
    ends[1]._run()
    with pytest.raises(StoreUnavailable):
        await cut_off.get(DIGEST)


async def test_a_drawing_is_held_no_longer_than_it_has_to_be(results: Results, raw: redis.asyncio.Redis) -> None:
    """Once Redis has taken it, not even its timer holds it: with a Redis that is full, hundreds would pile up."""
    await raw.config_set("maxmemory-policy", "noeviction")
    await raw.config_set("maxmemory", "1")
    await results.save(DIGEST, drawing(title="held for a while"))
    await raw.config_set("maxmemory", "256mb")
    await results.put_held(DIGEST)
    gc.collect()
    assert [] == [each for each in gc.get_objects() if isinstance(each, Drawing) and each.title == "held for a while"]


async def test_a_drawing_that_is_held_meanwhile_is_found(cut_off: Results) -> None:
    """Who reads while a call ends whose drawing Redis does not take would pay for another."""
    reading = asyncio.create_task(cut_off.get(DIGEST))
    await asyncio.sleep(0)
    cut_off._hold(DIGEST, paid_for := drawing())
    assert paid_for == await reading


async def test_a_read_for_a_caller_who_is_refused_is_not_left_behind(cut_off: Results, store: Store) -> None:
    """Else the loop says that nobody has asked for its failure, which looks like a fault of ours in the log."""
    said: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context["message"]))
    charge = Quotas(store, requests_per_minute=0).charge(Principal(account="ada"))
    with pytest.raises(RateLimited):
        await cut_off.get(DIGEST, charge=charge)
    del charge
    gc.collect()
    await asyncio.sleep(0)
    assert [] == said


@pytest.fixture
async def cut_off() -> AsyncIterator[Results]:
    """Results whose Redis does not run."""
    store = connect(f"redis://127.0.0.1:{free_port()}/0", "")
    yield Results(store)
    await store.close()


async def test_without_redis_a_read_says_so(cut_off: Results) -> None:
    """Unknown is not the same as absent."""
    with pytest.raises(StoreUnavailable):
        await cut_off.get(DIGEST)
    with pytest.raises(StoreUnavailable):
        await cut_off.extend_life(DIGEST)


async def test_without_redis_a_saved_drawing_is_served_from_here(cut_off: Results) -> None:
    """Only the one that was paid for here."""
    paid_for: Drawing = drawing()
    await cut_off.save(DIGEST, paid_for)
    assert paid_for == await cut_off.get(DIGEST)
    with pytest.raises(StoreUnavailable):
        await cut_off.get("another")


async def test_only_so_many_drawings_are_held(cut_off: Results) -> None:
    """An instance has its memory for calls; what was held first stays."""
    for number in range(MAX_UNSAVED + 1):
        await cut_off.save(f"{number:064}", drawing())
    assert await cut_off.get(f"{MAX_UNSAVED - 1:064}")
    with pytest.raises(StoreUnavailable):
        await cut_off.get(f"{MAX_UNSAVED:064}")
