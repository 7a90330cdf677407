"""Budget: a hard limit on the cost of calls in one UTC day, for all callers and for each one; reserved in advance."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from rubydraw import keys, logs
from rubydraw.errors import BudgetExceeded, GeminiFailed, SketchError, StoreUnavailable
from rubydraw.principal import NOBODY, Principal
from rubydraw.redis.store import Call, Script, Store
from rubydraw.settings import Settings

MICRO = 1_000_000
DAY_MS = 24 * 60 * 60 * 1000


class Usage(NamedTuple):
    """The tokens that a call has used, as Gemini reports them."""

    input_tokens: int
    output_tokens: int


class Spent(NamedTuple):
    """What one UTC day has cost so far."""

    calls: int
    dollars: float


@dataclass(slots=True)
class Bill:
    """
    One call, paid for in advance. Without a `token`, the call is not counted.

    `usage`: what the call really used, once that is known.
    """

    token: str = ""
    account: str = ""
    usage: Usage | None = None

    def used(self, usage: Usage) -> None:
        self.usage = usage


class Budget:
    """
    Reserves a call's price in advance, in the budgets of all callers and of its own caller at once; corrects it later.

    If nobody learns how a call ended, its price stays spent. Raises StoreUnavailable when Redis cannot be reached.
    """

    def __init__(self, store: Store, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.store, self._settings = store, settings
        self._clock, self._full_until, self._final = clock, 0.0, 0
        # A full Redis counts calls all the same, else whoever fills it would be past every ceiling.
        self._reserve, self._check, self._settle = (
            Script("budget", name, flags="allow-oom") for name in ("reserve_call", "check_budget", "settle_call")
        )

    async def reserve(self, payer: Principal) -> Bill:
        """Reserve the price of one call; raise BudgetExceeded if that would break a ceiling."""
        bill = Bill(uuid.uuid4().hex, payer.account)
        args = (*self._ceilings(payer), keys.RESERVATION_MS, keys.BUDGET_OF_ACCOUNT_MS)
        self.take_answer(await self.store.script(self._reserve, _purses(bill), args), payer)
        return bill

    def check_known(self, payer: Principal) -> None:
        """
        Raise BudgetExceeded if this instance knows, without asking Redis, that no call may be made today.

        It knows that if a ceiling leaves no room for even one call, or if it has seen the budget of all callers used
        up. Then the instance's allowance must not replace the budget.
        """
        if purse := self._purse_without_room(payer):
            self._raise_if_full([purse, DAY_MS - round(time.time() * 1000) % DAY_MS, 1], payer)
        if (left_s := self._full_until - self._clock()) > 0:
            self._raise_if_full([1, round(left_s * 1000), self._final], NOBODY)

    def check_call(self, payer: Principal) -> Call | None:
        """Return the call that checks for room for one more, and reserves nothing; None if there is no ceiling."""
        price, *ceilings = self._ceilings(payer)
        if max(ceilings) < 0:
            return None
        return Call(self._check, _purses(Bill(account=payer.account)), (price, *ceilings))

    def take_answer(self, answer: list[int] | None, payer: Principal) -> None:
        """Take Redis' answer to `check_call` or to a reservation; raise BudgetExceeded if it says so."""
        if answer:  # a budget that was full may have room again: reservations are given back
            self._full_until = self._clock() + answer[1] / 1000 if answer[0] == 1 else 0.0
            self._final = answer[2]
            self._raise_if_full(answer, payer)

    async def settle(self, bill: Bill, failure: SketchError | None = None) -> None:
        """Correct the reservation of a call that has ended, in a round trip of its own."""
        if call := self.settlement(bill, failure):
            with suppress(StoreUnavailable):  # then it stays reserved
                self.settled(call, await self.store.script(*call))

    def settlement(self, bill: Bill, failure: SketchError | None = None) -> Call | None:
        """
        Return the script call that corrects the reservation of a call that has ended, by its usage or its failure.

        A call is uncounted only if no request left this process. A call that failed without being billed costs nothing
        but counts. Any other call without known usage costs what was reserved.
        """
        if not bill.token:
            return None
        never_left = isinstance(failure, GeminiFailed) and not failure.may_be_billed
        if bill.usage:
            microdollars = self._price(bill.usage)
        elif failure and not failure.may_be_billed:
            microdollars = 0
        else:
            microdollars = self._reserved
        return Call(self._settle, _purses(bill), (microdollars, int(never_left)))

    def settled(self, settlement: Call, answer: Any) -> None:
        """Log a settlement and today's totals; if Redis did not run it, the whole price stays reserved."""
        if isinstance(answer, list):
            calls, microdollars = answer
            logs.info(
                "budget.settled", microdollars=settlement.args[0], calls_today=calls, microdollars_today=microdollars
            )

    def _raise_if_full(self, answer: list[int], payer: Principal) -> None:
        full, opens_ms, final = answer
        if full:
            whose, account = ("Your budget", payer.account) if full > 1 else ("The budget", "")
            until = "used up until midnight UTC; try again then"
            why = until if final else "held for calls in progress; try again soon"
            error = BudgetExceeded(
                f"{whose} for new drawings is {why}.", retry_after_s=opens_ms / 1000, account=account
            )
            error.final = bool(final)
            raise error

    def _purse_without_room(self, payer: Principal) -> int:
        """Return the number of the first purse whose ceiling is too low for even one call a day, or 0."""
        price, *ceilings = self._ceilings(payer)
        for number, (calls, microdollars) in enumerate(zip(ceilings[::2], ceilings[1::2], strict=True), 1):
            if calls == 0 or 0 <= microdollars < price:
                return number
        return 0

    @property
    def _reserved(self) -> int:
        return round(self._settings.call_dollars * MICRO)

    def _price(self, usage: Usage) -> int:
        """Return the price in millionths of a dollar; the settings give dollars per million tokens."""
        settings = self._settings
        asked = usage.input_tokens * settings.input_dollars_per_million
        return round(asked + usage.output_tokens * settings.output_dollars_per_million)

    def _ceilings(self, payer: Principal) -> tuple[int, ...]:
        limits, settings = payer.limits, self._settings
        ceilings = [settings.daily_calls, _micro(settings.daily_dollars)]
        if payer.account:
            calls, dollars = limits.calls_per_day, limits.dollars_per_day
            ceilings.append(settings.principal_daily_calls if calls is None else calls)
            ceilings.append(_micro(settings.principal_daily_dollars if dollars is None else dollars))
        return (self._reserved, *(-1 if ceiling is None else ceiling for ceiling in ceilings))


def log_exceeded(full: BudgetExceeded, digest: str) -> None:
    """Log that a budget refused a new drawing; an alert fires if it was the budget of all callers."""
    logs.warning("budget.exceeded", digest=digest[:12], of="caller" if full.account else "all")


async def spent_today(store: Store) -> Spent:
    """Return what all calls of this UTC day have cost; a call in progress counts with its reserved price."""
    (day, calls, microdollars), (seconds, _) = await store.pipeline(
        ("HMGET", keys.BUDGET, "day", "calls", "microdollars"), ("TIME",)
    )
    if day is None or int(day) != int(seconds) // 86_400:
        return Spent(0, 0.0)
    return Spent(int(calls), int(microdollars) / MICRO)


def _purses(bill: Bill) -> list[str]:
    own = [keys.budget(bill.account)] if bill.account else []
    return [keys.reservation(bill.token), keys.BUDGET, *own]


def _micro(dollars: float | None) -> int | None:
    return None if dollars is None else round(dollars * MICRO)
