"""Idempotency keys on a real Valkey: one request for one key, whoever comes first."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
import redis.asyncio
from rubydraw.errors import BadSketch, IdempotencyConflict
from rubydraw.jobs.idempotency import IdempotencyKeys
from rubydraw.redis.store import Store, connect

from tests.servers import free_port
from tests.sketches import HOUR_MS

NOT_ASCII = "has a space, or another character that is not visible ASCII"
INPUT, OTHER_INPUT = b"\x00\xff" * 16, b"\x01" * 32


@pytest.fixture
def idempotency_keys(store: Store) -> IdempotencyKeys:
    return IdempotencyKeys(store)


async def test_key_stands_for_the_request_that_came_first(idempotency_keys: IdempotencyKeys) -> None:
    """Sent twice, and repeated by another request, it is always that one."""
    bound = [await idempotency_keys.bind("me", "a-key", request_id, INPUT) for request_id in ("r1", "r1", "r2", "r1")]
    assert ["r1"] * 4 == bound


async def test_twenty_requests_at_once_have_exactly_one_id(idempotency_keys: IdempotencyKeys) -> None:
    """All of them are told the same."""
    ids = [str(uuid.uuid4()) for _ in range(20)]
    bound = await asyncio.gather(*(idempotency_keys.bind("me", "a-key", request_id, INPUT) for request_id in ids))
    assert 1 == len(set(bound))
    assert bound[0] in ids


async def test_key_with_another_input_is_a_conflict(idempotency_keys: IdempotencyKeys) -> None:
    """The first input stays bound."""
    await idempotency_keys.bind("me", "a-key", "r1", INPUT)
    for replaces in ("", "r1"):
        with pytest.raises(IdempotencyConflict):
            await idempotency_keys.bind("me", "a-key", "r2", OTHER_INPUT, replaces=replaces)
    assert "r1" == await idempotency_keys.bind("me", "a-key", "r3", INPUT)


async def test_owners_have_keys_of_their_own(idempotency_keys: IdempotencyKeys) -> None:
    """Also where owner and key together read the same."""
    pairs = [("", "abc"), ("a", "bc"), ("ab", "c"), ("1:a", "bc")]
    bound = [await idempotency_keys.bind(owner, key, f"{owner}/{key}", OTHER_INPUT) for owner, key in pairs]
    assert [f"{owner}/{key}" for owner, key in pairs] == bound


async def test_failed_request_is_put_aside_once(idempotency_keys: IdempotencyKeys) -> None:
    """The first one to replace it wins; sent twice, and for latecomers, the answer is the new request."""
    await idempotency_keys.bind("me", "a-key", "r1", INPUT)
    replaced = [
        await idempotency_keys.bind("me", "a-key", request_id, INPUT, replaces="r1")
        for request_id in ("r2", "r2", "r3")
    ]
    assert ["r2"] * 3 == replaced
    assert "r2" == await idempotency_keys.bind("me", "a-key", "r4", INPUT)


async def test_ten_replacements_at_once_have_exactly_one_winner(idempotency_keys: IdempotencyKeys) -> None:
    """Nobody submits the failed job twice."""
    await idempotency_keys.bind("me", "a-key", "r0", INPUT)
    bound = await asyncio.gather(
        *(idempotency_keys.bind("me", "a-key", f"r{number}", INPUT, replaces="r0") for number in range(1, 11))
    )
    assert 1 == len(set(bound))
    assert "r0" not in bound


async def test_key_is_kept_for_a_day_and_only_as_a_hash(
    idempotency_keys: IdempotencyKeys, raw: redis.asyncio.Redis
) -> None:
    """Neither owner nor key can be read in Redis."""
    await idempotency_keys.bind("somebody", "secret-key", "r1", INPUT)
    key: Any
    [key] = await raw.keys()
    assert 24 * HOUR_MS - 5000 < await raw.pttl(key) <= 24 * HOUR_MS
    fields: dict[Any, Any] = await raw.hgetall(key)
    stored = key + b"".join([*fields, *fields.values()])
    assert (False, False) == (b"secret-key" in stored, b"somebody" in stored)


async def test_key_of_a_hit_is_kept_as_long_as_its_job(
    idempotency_keys: IdempotencyKeys, raw: redis.asyncio.Redis
) -> None:
    """An hour; without Redis it stays as it is, and nobody is refused for it."""
    await idempotency_keys.bind("me", "a-key", "r1", INPUT)
    await idempotency_keys.shorten("me", "a-key")
    assert "r1" == await idempotency_keys.bind("me", "a-key", "r2", INPUT)
    [key] = await raw.keys()
    assert HOUR_MS - 60_000 < await raw.pttl(key) <= HOUR_MS
    nowhere = connect(f"redis://127.0.0.1:{free_port()}/0", "")
    await IdempotencyKeys(nowhere).shorten("me", "a-key")
    await nowhere.close()


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("", "is empty"),
        ("x" * 256, "has 256 characters"),
        *((key, NOT_ASCII) for key in ("two words", "tab\t", "line\n", "schlüssel", "\x7f", "\0")),
    ],
    ids=ascii,
)
async def test_bad_keys_are_refused_without_asking_redis(
    idempotency_keys: IdempotencyKeys, raw: redis.asyncio.Redis, key: str, found: str
) -> None:
    """The sentence says what was found and what is allowed."""
    with pytest.raises(BadSketch) as refused:
        await idempotency_keys.bind("me", key, "r1", INPUT)
    assert f"idempotencyKey {found}; it must have 1 to 255 visible ASCII characters." == refused.value.message
    assert [] == await raw.keys()


@pytest.mark.parametrize("key", ["!", "~", "x" * 255, '"{*}"'])
async def test_every_visible_ascii_character_is_allowed(idempotency_keys: IdempotencyKeys, key: str) -> None:
    """Up to 255 of them."""
    assert "r1" == await idempotency_keys.bind("me", key, "r1", INPUT)
