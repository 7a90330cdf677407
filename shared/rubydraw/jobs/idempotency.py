"""Idempotency keys: which request a caller's key stands for."""

from __future__ import annotations

from contextlib import suppress

from rubydraw import keys
from rubydraw.errors import BadSketch, IdempotencyConflict, StoreUnavailable
from rubydraw.limits.quotas import CACHED, Charge
from rubydraw.redis.store import Call, Script, Store

MAX_CHARS = 255


class IdempotencyKeys:
    """Keys of 1 to 255 visible ASCII characters, each bound to one input for 24 h; that of a hit for one hour."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._bind = Script("idempotency")

    async def bind(
        self,
        owner: str,
        key: str,
        request_id: str,
        content_hash: bytes,
        *,
        replaces: str = "",
        charge: Charge | None = None,
    ) -> str:
        """
        Return the id of the request that `key` stands for: that of an earlier one, or from now on `request_id`.

        `replaces`: the earlier request that `request_id` may replace. A `charge` is paid in the same round trip.
        Raises BadSketch, IdempotencyConflict and RateLimited.
        """
        _check(key)
        args = (request_id, content_hash, keys.IDEMPOTENCY_MS, replaces)
        bind, count = Call(self._bind, [keys.idempotency(owner, key)], args), charge.call(CACHED) if charge else None
        (outcome, bound), counted = await self._store.scripts(bind, count)
        if charge:
            charge.answered(CACHED, counted)
        if outcome == b"conflict":
            raise IdempotencyConflict
        return str(bound.decode())

    async def shorten(self, owner: str, key: str) -> None:
        """Let `key` expire with its job, which was done at once: a day of keys of cheap hits would fill Redis."""
        with suppress(StoreUnavailable):  # then it is kept for its 24 h
            await self._store.command("PEXPIRE", keys.idempotency(owner, key), keys.SETTLED_JOB_MS)


def _check(key: str) -> None:
    found = "is empty" if not key else f"has {len(key)} characters"
    if 1 <= len(key) <= MAX_CHARS:
        if all("!" <= char <= "~" for char in key):
            return
        found = "has a space, or another character that is not visible ASCII"
    raise BadSketch(f"idempotencyKey {found}; it must have 1 to {MAX_CHARS} visible ASCII characters.")
