"""Quotas: how many requests a minute each caller may send; a cached answer counts as a tenth of one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from rubydraw import keys
from rubydraw.errors import RateLimited, StoreUnavailable
from rubydraw.principal import Principal
from rubydraw.redis.store import Call, Script, Store

WINDOW_S = 60
CACHED, WHOLE = 1, 10
"""What an operation costs, in tenths of a request: one that is answered from what is kept, and any other."""
FAILURES = 30
"""How often a minute one address may fail to authenticate. Each failure costs CACHED, since only refusals of that cost
are remembered."""
MAX_REFUSED = 10_000


class Quota(NamedTuple):
    """
    The state of a caller's quota after an operation, in whole requests.

    `reset_s`: seconds until some of the used quota is free again.
    """

    limit: int
    remaining: int
    reset_s: int


class Charge:
    """
    Charges one operation to its caller's quota: a tenth of a request at once, the rest if nothing is kept.

    It knows what has been paid. The tenth is paid in the round trip of the first read, so that a hit costs no extra
    one. While Redis is unavailable nobody is refused: then the instance's allowance bounds the calls.
    """

    def __init__(self, quotas: Quotas, principal: Principal, limit: int | None) -> None:
        self.principal = principal
        self.quota: Quota | None = None
        self._quotas, self._limit, self._paid = quotas, limit, 0
        self._key = keys.quota(principal.account) if limit is not None else ""

    @property
    def store(self) -> Store:
        return self._quotas.store

    def check(self) -> None:
        """Raise RateLimited if this instance knows, without a round trip, that the quota is still used up."""
        if self._limit is not None and (wait_s := self._quotas.refused_for_s(self._key)) > 0:
            self._refuse(wait_s)

    def call(self, upto: int, *, paid: int | None = None) -> Call | None:
        """
        Return the script call that pays up to `upto` tenths in all, None if none is due; `answered` takes its answer.

        `paid`: how many tenths will have been paid by then, if not those paid so far.
        """
        due = upto - (self._paid if paid is None else paid)
        if self._limit is None or due <= 0:
            return None
        return Call(self._quotas.script, [self._key], (due, self._limit * WHOLE, WINDOW_S * 1000))

    def answered(self, upto: int, answer: Any) -> None:
        """Read the answer to `call`; raise RateLimited. A call not sent, or refused by Redis, counts nothing."""
        if not isinstance(answer, list):
            return
        counted, left, back_ms = answer
        self.quota = Quota(self._limit or 0, max(left, 0) // WHOLE, math.ceil(back_ms / 1000))
        if counted:
            self._paid = upto
            return
        if upto == CACHED:
            self._quotas.refuse_for(self._key, back_ms / 1000)
        self._refuse(back_ms / 1000)

    async def pay_cached(self) -> None:
        """Pay the tenth in a round trip of its own; raise RateLimited."""
        await self._pay(CACHED)

    async def pay_whole(self) -> None:
        """Pay what is still unpaid of a whole request; raise RateLimited."""
        await self._pay(WHOLE)

    async def _pay(self, upto: int) -> None:
        with suppress(StoreUnavailable):
            self.answered(upto, *await self.store.scripts(self.call(upto)))

    def _refuse(self, wait_s: float) -> None:
        self.quota = Quota(self._limit or 0, 0, math.ceil(wait_s))
        raise RateLimited(retry_after_s=wait_s)


class Quotas:
    """Counts in Redis, for all instances; remembers refused callers, so that a flood of theirs does not reach Redis."""

    def __init__(
        self, store: Store, *, requests_per_minute: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.store, self.script = store, Script("charge")
        self._requests_per_minute, self._clock = requests_per_minute, clock
        self._refused: dict[str, float] = {}

    def charge(self, principal: Principal) -> Charge:
        """Return the charge of one operation; nothing is counted yet."""
        own = principal.limits.requests_per_minute
        limit = self._requests_per_minute if own is None else own
        return Charge(self, principal, limit if principal.account else None)

    async def failed_authentication(self, address: str) -> None:
        """Count a request that failed to authenticate; raise RateLimited if there are too many from this address."""
        charge = Charge(self, Principal(account=f"failed:{address}"), FAILURES // WHOLE)
        charge.check()
        await charge.pay_cached()

    def refused_for_s(self, key: str) -> float:
        """Return for how many seconds even a tenth of a request is sure to be refused; 0 or less if it is not sure."""
        return self._refused.get(key, 0.0) - self._clock()

    def refuse_for(self, key: str, wait_s: float) -> None:
        """Remember a refusal."""
        if len(self._refused) >= MAX_REFUSED:
            self._refused.clear()
        self._refused[key] = self._clock() + wait_s
