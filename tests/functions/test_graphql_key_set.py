"""The issuer's keys: fetched seldom, kept long, and no key server can hang or starve anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from rubydraw.errors import Unavailable

from tests.functions.issuer import Issuer, issuing, jwk, rsa_key
from tests.functions.tiny_graphql import key_set
from tests.servers import POLL_S, WAIT_S

KeySet = key_set.KeySet
AGAIN_S, FIRST_AGAIN_S = key_set.AGAIN_S, key_set.FIRST_AGAIN_S
FRESH_S, STALE_S = key_set.FRESH_S, key_set.STALE_S

FAULTS = ("500", "garbage", "empty", "no list", "huge", "redirect", "a secret", "hang", "drip")


class Clock:
    """Time that passes when the test says so."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(issuer: Issuer, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> KeySet:
    monkeypatch.setattr(key_set, "FETCH_S", WAIT_S)
    return KeySet(f"{issuer.url}/keys", clock=clock)


@pytest.fixture
def breaks(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Give the key server a fault, or none. It is given up soon only where it has to be: any other may be slow here."""

    def breaks(fault: str) -> None:
        issuer.fault = fault
        monkeypatch.setattr(key_set, "FETCH_S", 0.4 if fault in ("hang", "drip") else WAIT_S)

    return breaks


async def known(keys: KeySet, kid: str) -> bool:
    return await keys.find(kid) is not None


async def test_a_hundred_first_tokens_are_one_fetch(keys: KeySet, issuer: Issuer) -> None:
    """All wait for the same one."""
    assert [True] * 100 == await asyncio.gather(*(known(keys, "rsa") for _ in range(100)))
    assert 1 == issuer.fetches


async def test_made_up_key_ids_are_one_fetch_a_minute(keys: KeySet, issuer: Issuer, clock: Clock) -> None:
    """However many there are; ids that are none cost nothing at all."""
    await known(keys, "rsa")
    clock.now_s += AGAIN_S
    assert [False] * 100 == await asyncio.gather(*(known(keys, f"x{number}") for number in range(100)))
    assert 2 == issuer.fetches
    clock.now_s += AGAIN_S - 1
    assert (False, 2) == (await known(keys, "x"), issuer.fetches)
    assert (None, 2) == (await keys.find(["rsa"]), issuer.fetches)


async def test_a_new_key_is_found_and_an_old_one_forgotten(keys: KeySet, issuer: Issuer, clock: Clock) -> None:
    """A rotation is noticed by the first token that names the new key."""
    await known(keys, "rsa")
    issuer.published = [jwk("next", rsa_key(1))]
    clock.now_s += AGAIN_S
    assert (True, False) == (await known(keys, "next"), await known(keys, "rsa"))


async def test_keys_are_renewed_while_they_are_in_use(keys: KeySet, issuer: Issuer, clock: Clock) -> None:
    """After ten minutes, by the way: nobody waits for it."""
    await known(keys, "rsa")
    issuer.published = [jwk("next", rsa_key(1))]
    clock.now_s += FRESH_S
    assert await known(keys, "rsa")
    async with asyncio.timeout(WAIT_S):
        while await known(keys, "rsa"):
            await asyncio.sleep(POLL_S)
    assert (True, 2) == (await known(keys, "next"), issuer.fetches)


async def test_a_withdrawn_key_is_not_trusted_after_an_idle_hour(keys: KeySet, issuer: Issuer, clock: Clock) -> None:
    """Keys so old are fetched first."""
    await known(keys, "rsa")
    issuer.published = [jwk("next", rsa_key(1))]
    clock.now_s += STALE_S
    assert not await known(keys, "rsa")


@pytest.mark.parametrize("fault", FAULTS)
async def test_without_any_key_the_caller_may_come_again(
    keys: KeySet, issuer: Issuer, breaks: Callable[[str], None], clock: Clock, fault: str
) -> None:
    """Unavailable within the time of one fetch, then no fetch for some seconds, then all is well."""
    breaks(fault)
    with pytest.raises(Unavailable) as refused:
        async with asyncio.timeout(WAIT_S):
            await keys.find("rsa")
    assert FIRST_AGAIN_S == refused.value.retry_after_s
    with pytest.raises(Unavailable):
        await keys.find("rsa")
    assert issuer.fetches <= 1  # one that hangs may have been given up before it arrived
    breaks("")
    clock.now_s += FIRST_AGAIN_S
    assert await known(keys, "rsa")


@pytest.mark.parametrize("fault", FAULTS)
async def test_keys_that_are_here_outlive_their_server(
    keys: KeySet, breaks: Callable[[str], None], clock: Clock, fault: str
) -> None:
    """For as long as it is away; only a token that names a key we have not seen is told to come again."""
    await known(keys, "rsa")
    breaks(fault)
    for age_s in (FRESH_S, STALE_S):
        clock.now_s += age_s
        assert await known(keys, "rsa")
    with pytest.raises(Unavailable):
        await keys.find("other")
    assert await known(keys, "ec")


async def test_a_caller_who_leaves_does_not_end_the_fetch(keys: KeySet, issuer: Issuer) -> None:
    """The others still get their key."""
    first, second = (asyncio.create_task(known(keys, "rsa")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (True, 1) == (await second, issuer.fetches)


async def test_nobody_there(clock: Clock) -> None:
    """A refused connection is as a silent server."""
    with pytest.raises(Unavailable):
        await KeySet("http://127.0.0.1:1/keys", clock=clock).find("rsa")
