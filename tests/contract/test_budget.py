"""What may be spent in a day, on a real Valkey: reserved in one step, corrected once, never above the ceiling."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.errors import BudgetExceeded, ContentRefused, GeminiBusy, GeminiFailed, NoImage, OutOfTime, SketchError
from rubydraw.gemini.answer import read_answer
from rubydraw.limits.budget import Bill, Budget, Usage, spent_today
from rubydraw.principal import NOBODY, Limits, Principal
from rubydraw.redis.store import Store, connect
from rubydraw.settings import Settings

NEEDED = {"REDIS_URL": "redis://127.0.0.1:1", "GEMINI_API_KEY": "k", "CALL_DOLLARS": "0.15"}
UNLIMITED = dict.fromkeys(
    ("DAILY_CALLS", "DAILY_DOLLARS", "PRINCIPAL_DAILY_CALLS", "PRINCIPAL_DAILY_DOLLARS"), "unlimited"
)
ADA, BO = Principal(account="ada"), Principal(account="bo")
DAY_S = 24 * 60 * 60


def budget(store: Store, **ceilings: str) -> Budget:
    """One process's view of a budget with these ceilings and no others."""
    return Budget(store, Settings.from_env(NEEDED | UNLIMITED | ceilings))


async def refused(spender: Budget, payer: Principal = ADA) -> BudgetExceeded:
    with pytest.raises(BudgetExceeded) as full:
        await spender.reserve(payer)
    return full.value


async def test_no_more_calls_than_the_ceiling_begin(store: Store, redis_url: str) -> None:
    """Of 400 attempts by two processes at once exactly 100 may call."""
    other = connect(redis_url, "")
    both = [budget(each, DAILY_CALLS="100") for each in (store, other)]
    attempts = [both[number % 2].reserve(ADA if number % 3 else BO) for number in range(400)]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    await other.close()
    assert (100, 300) == tuple(sum(isinstance(each, kind) for each in outcomes) for kind in (Bill, BudgetExceeded))
    assert 100 == (await spent_today(store)).calls


async def test_no_more_dollars_than_the_ceiling_are_reserved(store: Store) -> None:
    """Six calls at 15 cents fit into 1 dollar; a seventh would not."""
    spender = budget(store, DAILY_DOLLARS="1")
    for _ in range(6):
        await spender.reserve(ADA)
    await refused(spender)
    assert (6, 0.9) == await spent_today(store)


async def test_both_purses_pay_or_none_does(store: Store) -> None:
    """A caller over its own ceiling takes nothing from the others', and they go on."""
    spender = budget(store, PRINCIPAL_DAILY_CALLS="2")
    for _ in range(2):
        await spender.reserve(ADA)
    full = await refused(spender)
    assert ("ada", True) == (full.account, full.message.startswith("Your budget"))
    await spender.reserve(BO)
    assert 3 == (await spent_today(store)).calls


async def test_a_callers_own_ceilings_go_before_those_of_the_settings(store: Store) -> None:
    """As its key has them: here more calls, and fewer dollars."""
    spender = budget(store, PRINCIPAL_DAILY_CALLS="1")
    generous = Principal(account="ada", limits=Limits(calls_per_day=3))
    for _ in range(3):
        await spender.reserve(generous)
    await refused(spender, generous)
    await refused(spender, Principal(account="bo", limits=Limits(dollars_per_day=0.1)))


async def test_it_says_when_it_opens_again(store: Store, raw: redis.asyncio.Redis) -> None:
    """At midnight UTC, by Redis' clock."""
    full = await refused(budget(store, DAILY_CALLS="0"))
    seconds, _ = await raw.time()
    assert pytest.approx(DAY_S - seconds % DAY_S, abs=5) == full.retry_after_s


async def test_it_opens_again_after_midnight(store: Store, raw: redis.asyncio.Redis) -> None:
    """What was spent on another day counts no more, and what is settled of it changes nothing."""
    spender = budget(store, DAILY_CALLS="1", PRINCIPAL_DAILY_CALLS="1")
    late = await spender.reserve(ADA)
    await refused(spender)
    for purse in (keys.BUDGET, keys.budget("ada")):
        await raw.hincrby(purse, "day", -1)
    assert (0, 0) == await spent_today(store)
    await spender.reserve(ADA)
    held: Any = await raw.get(keys.reservation(late.token))
    await raw.set(keys.reservation(late.token), held.replace(b":", b"9:"))
    await spender.settle(late, GeminiFailed(may_be_billed=False))
    assert (1, 0.15) == await spent_today(store)
    await refused(spender)


async def test_a_call_costs_what_it_used(store: Store) -> None:
    """1,120 output tokens and 1,000 input tokens, at the prices of the settings."""
    spender = budget(store)
    bill = await spender.reserve(ADA)
    bill.used(Usage(1_000, 1_120))
    await spender.settle(bill)
    assert (1, 0.0677) == await spent_today(store)


async def test_usage_that_cannot_be_changes_no_price(store: Store) -> None:
    """Beyond Redis' integers its price would open the budget for the rest of the day."""
    spender = budget(store, DAILY_DOLLARS="0.2")
    bill = await spender.reserve(ADA)
    with pytest.raises(NoImage):
        read_answer(b'{"usageMetadata": {"totalTokenCount": 4600000000000000000}}', bill.used)
    await spender.settle(bill)
    assert (1, 0.15) == await spent_today(store)
    await refused(spender)


@pytest.mark.parametrize(
    ("failure", "spent"),
    [
        (GeminiFailed(may_be_billed=False), (0, 0.0)),
        (GeminiBusy(), (1, 0.0)),
        (OutOfTime(may_be_billed=True), (1, 0.15)),
        (GeminiFailed(), (1, 0.15)),
        (ContentRefused(), (1, 0.15)),
    ],
    ids=["never left", "refused unbilled", "time-out", "broken", "refused, usage unknown"],
)
async def test_what_a_failed_call_costs(store: Store, failure: SketchError, spent: tuple[int, float]) -> None:
    """Given back only where no request left; what nobody knows the end of stays spent."""
    spender = budget(store)
    await spender.settle(await spender.reserve(ADA), failure)
    assert spent == await spent_today(store)


async def test_a_call_is_settled_once(store: Store) -> None:
    """Sent again after a time-out, neither the reservation nor its correction counts twice."""
    spender = budget(store, DAILY_CALLS="5")
    bill = await spender.reserve(ADA)
    args = (150_000, 5, -1, 5, -1, 1000, 1000)
    purses = [keys.reservation(bill.token), keys.BUDGET, keys.budget("ada")]
    for _ in range(2):
        assert 0 == (await store.script(spender._reserve, purses, args))[0]
    assert 1 == (await spent_today(store)).calls
    for _ in range(2):
        await spender.settle(bill, GeminiFailed(may_be_billed=False))
    assert (0, 0) == await spent_today(store)


async def test_a_budget_seen_used_up_is_used_up_without_redis(store: Store) -> None:
    """Until midnight: an outage is no way past the ceiling."""
    now_s = 1000.0
    spender = Budget(store, Settings.from_env(NEEDED | UNLIMITED | {"DAILY_CALLS": "1"}), clock=lambda: now_s)
    await spender.reserve(ADA)
    spender.check_known(ADA)
    left_s = (await refused(spender)).retry_after_s or 0
    with pytest.raises(BudgetExceeded) as full:
        spender.check_known(ADA)
    assert pytest.approx(left_s, abs=0.01) == full.value.retry_after_s
    with pytest.raises(BudgetExceeded):
        spender.check_known(Principal(account="bo", limits=Limits(calls_per_day=0)))
    with pytest.raises(BudgetExceeded):  # whoever asked in between
        spender.check_known(ADA)
    now_s += left_s + 1
    spender.check_known(ADA)


@pytest.mark.parametrize(
    ("ceilings", "limits", "account"),
    [
        ({"DAILY_CALLS": "0"}, Limits(), ""),
        ({"DAILY_DOLLARS": "0.14"}, Limits(), ""),
        ({"PRINCIPAL_DAILY_CALLS": "0"}, Limits(), "ada"),
        ({"PRINCIPAL_DAILY_DOLLARS": "0"}, Limits(), "ada"),
        ({"PRINCIPAL_DAILY_CALLS": "unlimited"}, Limits(calls_per_day=0), "ada"),
        ({}, Limits(dollars_per_day=0.14), "ada"),
        ({"PRINCIPAL_DAILY_CALLS": "0"}, Limits(calls_per_day=1), None),
        ({"DAILY_CALLS": "1", "DAILY_DOLLARS": "0.15", "PRINCIPAL_DAILY_DOLLARS": "0.15"}, Limits(), None),
    ],
)
async def test_a_ceiling_below_one_call_needs_no_redis(
    store: Store, ceilings: dict[str, str], limits: Limits, account: str | None
) -> None:
    """It refuses as it would with Redis; who may make one call is not refused."""
    spender, payer = budget(store, **ceilings), Principal(account="ada", limits=limits)
    if account is None:
        spender.check_known(payer)
        await spender.reserve(payer)
        return
    with pytest.raises(BudgetExceeded) as full:
        spender.check_known(payer)
    by_redis = await refused(spender, payer)
    assert (by_redis.message, account) == (full.value.message, full.value.account)
    assert pytest.approx(by_redis.retry_after_s, abs=60) == full.value.retry_after_s


async def look(store: Store, spender: Budget, payer: Principal) -> None:
    spender.take_answer((await store.scripts(spender.check_call(payer)))[0], payer)


async def test_looking_spends_nothing(store: Store) -> None:
    """It says that the budget is used up, as often as one asks; where nothing bounds it nobody is asked."""
    spender = budget(store, DAILY_CALLS="1")
    for _ in range(3):
        await look(store, spender, ADA)
    await spender.reserve(NOBODY)
    with pytest.raises(BudgetExceeded):
        await look(store, spender, NOBODY)
    assert 1 == (await spent_today(store)).calls
    assert None is budget(store).check_call(ADA)


async def test_nothing_that_may_be_evicted_bounds_the_bill(store: Store, raw: redis.asyncio.Redis) -> None:
    """The purse of all has no life time; a caller's lives longer than a day."""
    await budget(store).reserve(Principal(account=f"someone {uuid.uuid4()}"))
    lives_ms = {key: await raw.pttl(key) for key in await raw.keys("*")}
    assert -1 == lives_ms.pop(keys.BUDGET.encode())
    (own,) = [life_ms for key, life_ms in lives_ms.items() if b":call:" not in key]
    assert own > DAY_S * 1000


@pytest.mark.parametrize("nothing", [Limits(calls_per_day=0), Limits(dollars_per_day=0.0)], ids=["calls", "dollars"])
async def test_a_caller_whose_own_ceiling_is_nothing_spends_nothing(store: Store, nothing: Limits) -> None:
    """0 is a ceiling: it is not taken for one that is not set."""
    await refused(budget(store, PRINCIPAL_DAILY_CALLS="9", PRINCIPAL_DAILY_DOLLARS="9"), Principal("", "bo", nothing))


async def test_a_full_redis_counts_all_the_same(store: Store, raw: redis.asyncio.Redis) -> None:
    """Its calls are reserved, corrected and refused, though Redis takes no other write."""
    await raw.config_set("maxmemory-policy", "noeviction")
    await raw.config_set("maxmemory", "1")
    spender = budget(store, PRINCIPAL_DAILY_CALLS="1")
    await spender.settle(await spender.reserve(ADA), GeminiFailed(may_be_billed=False))
    bill = await spender.reserve(ADA)
    bill.used(Usage(1_000, 1_120))
    await spender.settle(bill)
    assert "ada" == (await refused(spender)).account
    assert (1, 0.0677) == await spent_today(store)


async def test_a_reservation_outlives_its_call_and_not_the_day(store: Store, raw: redis.asyncio.Redis) -> None:
    """Two hours: a call that nobody settled leaves nothing behind."""
    bill = await budget(store, DAILY_CALLS="1").reserve(ADA)
    assert 0 < await raw.pttl(keys.reservation(bill.token)) <= keys.RESERVATION_MS
    assert 0 < await raw.pttl(keys.budget("ada")) <= keys.BUDGET_OF_ACCOUNT_MS


async def test_one_callers_used_up_budget_closes_nobody_elses_allowance(store: Store) -> None:
    """An instance remembers for times without Redis that the budget of all is used up, not that of one."""
    spender = budget(store, PRINCIPAL_DAILY_CALLS="0")
    await refused(spender)
    spender.check_known(NOBODY)


async def test_what_calls_in_progress_hold_is_not_used_up(store: Store) -> None:
    """They are reserved for at their dearest: it says to try again soon, and a job may be queued."""
    spender = budget(store, DAILY_DOLLARS="0.20")
    bill = await spender.reserve(ADA)
    held = await refused(spender, BO)
    assert (30.0, False, "The budget for new drawings is held for calls in progress; try again soon.") == (
        held.retry_after_s,
        held.final,
        held.message,
    )
    await look(store, spender, BO)
    bill.used(Usage(100, 100))
    await spender.settle(bill)
    await spender.settle(await spender.reserve(BO), GeminiFailed())
    used_up = await refused(spender)
    assert (True, True) == (used_up.final, "until midnight UTC" in used_up.message)
    with pytest.raises(BudgetExceeded):
        await look(store, spender, BO)


async def test_a_purse_that_is_used_up_goes_before_one_that_is_held(store: Store) -> None:
    """Else its owner would try again in vain."""
    spender = budget(store, DAILY_DOLLARS="0.20", PRINCIPAL_DAILY_CALLS="1")
    await spender.reserve(ADA)
    assert ("ada", True) == ((full := await refused(spender)).account, full.final)
    assert ("", False) == ((full := await refused(spender, BO)).account, full.final)


async def test_what_a_dead_process_held_is_used_up(store: Store, raw: redis.asyncio.Redis) -> None:
    """Ten minutes after the last call began, none is in progress any more."""
    spender = budget(store, DAILY_DOLLARS="0.20")
    await spender.reserve(NOBODY)
    assert not (await refused(spender)).final
    await raw.hincrby(keys.BUDGET, "held_at", -10 * 60 * 1000)
    assert (await refused(spender)).final


async def test_a_budget_with_room_again_is_not_known_as_used_up(store: Store) -> None:
    """Calls in progress are reserved for at their dearest: one that ends may leave room for the next."""
    spender = budget(store, DAILY_DOLLARS="0.20")
    bill = await spender.reserve(NOBODY)
    await refused(spender)
    bill.used(Usage(100, 100))
    await spender.settle(bill)
    await spender.reserve(NOBODY)
    spender.check_known(NOBODY)
