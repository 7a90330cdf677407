"""Admission to one instance: no more bodies and calls than its memory holds, and few calls while Redis is away."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rubydraw import logs
from rubydraw.errors import StoreUnavailable, Unavailable

MEAN_SKETCH_BYTES = 1024 * 1024
"""
The bound on bytes is this size times the bound on calls. A call with a sketch of this size holds 1.3 MiB while it
waits, and 2.7 when all calls are answered at once with pictures of 1 MB: 250 fit into 1 GiB (docs/performance.md).
"""
BODY_PER_SKETCH = 1.4  # base64, and the JSON around it
LONGEST_BODY_BYTES = 16 * 1024 * 1024
"""The size that a body of unknown length counts as. A longer body is refused while it is read."""
RETRY_AFTER_S = 5.0
BUSY = "The service is busy; try again."


class Refusals:
    """Makes the refusals of a full instance, and logs at most one of them a minute."""

    def __init__(self, of: str) -> None:
        self._of, self._is_due = of, logs.OnceAMinute()

    def make(self) -> Unavailable:
        """Return an error for the caller to raise."""
        if self._is_due():
            logs.warning("instance.full", of=self._of)
        return Unavailable(BUSY, retry_after_s=RETRY_AFTER_S)


class Intake:
    """Bounds the bytes of request bodies that this instance holds, before any of them is read."""

    def __init__(self, max_in_flight: int) -> None:
        self._max_bytes = round(max_in_flight * MEAN_SKETCH_BYTES * BODY_PER_SKETCH)
        self._share_bytes = max(self._max_bytes // 2, LONGEST_BODY_BYTES)
        self._refusals = Refusals("bodies")
        self.held_bytes = 0
        self.coming_bytes: dict[str, int] = {}

    def admit(self, content_length: str | None, account: str = "") -> Room:
        """
        Return room for a body; raise Unavailable if there is none. A lone body always fits.

        The bodies of one account that are still to come take half of the room at most, so that a caller who sends
        nothing of what it announces keeps nobody else out. Without an account there is no such share.
        """
        announced = int(content_length) if content_length and content_length.isdecimal() else LONGEST_BODY_BYTES
        size = min(announced, LONGEST_BODY_BYTES)
        coming = self.coming_bytes.get(account, 0) + size
        if coming > self._share_bytes or (self.held_bytes and self.held_bytes + size > self._max_bytes):
            raise self._refusals.make()
        self.held_bytes += size
        if account:
            self.coming_bytes[account] = coming
        return Room(self, size, account)


class Room:
    """Room for one body, until it is given back; a class, as `@contextmanager` would take 2 µs more."""

    __slots__ = ("_account", "_intake", "_size_bytes")

    def __init__(self, intake: Intake, size_bytes: int, account: str) -> None:
        self._intake, self._size_bytes, self._account = intake, size_bytes, account

    def fill(self) -> None:
        """Count the body as one that has come."""
        coming = self._intake.coming_bytes
        if self._account and (left := coming.pop(self._account, 0) - self._size_bytes) > 0:
            coming[self._account] = left
        self._account = ""

    def shrink(self, size_bytes: int) -> None:
        """Make room for others but for `size_bytes`: what is left of the body once it is read."""
        left = min(size_bytes, self._size_bytes)
        self._intake.held_bytes -= self._size_bytes - left
        self._size_bytes = left

    def give_back(self) -> None:
        """Make room for others; again changes nothing."""
        if self._account:
            self.fill()
        self._intake.held_bytes -= self._size_bytes
        self._size_bytes = 0

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.give_back()


class Gate:
    """Bounds the calls in flight and the bytes of their sketches."""

    def __init__(self, max_in_flight: int) -> None:
        self._max_calls, self._max_bytes = max_in_flight, max_in_flight * MEAN_SKETCH_BYTES
        self._refusals = Refusals("calls")
        self.calls = 0
        self._held_bytes = 0

    @property
    def full(self) -> bool:
        return self.calls >= self._max_calls or self._held_bytes >= self._max_bytes

    def check(self) -> None:
        """Raise Unavailable when there is no place for a call."""
        if self.full:
            raise self._refusals.make()

    @contextmanager
    def admit(self, sketch_bytes: int) -> Iterator[None]:
        """Hold a place during a call; raise Unavailable when there is none."""
        self.check()
        self.calls += 1
        self._held_bytes += sketch_bytes
        try:
            yield
        finally:
            self.calls -= 1
            self._held_bytes -= sketch_bytes


class Allowance:
    """Calls that this instance may make per minute while Redis cannot count them for the fleet."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._spent: deque[float] = deque()

    def spend(self) -> None:
        """Count one call; raise StoreUnavailable when the minute's allowance is used up."""
        now = self._clock()
        while self._spent and self._spent[0] <= now - 60:
            self._spent.popleft()
        if len(self._spent) >= self._per_minute:
            raise StoreUnavailable(retry_after_s=60 - (now - self._spent[0]) if self._spent else 60)
        self._spent.append(now)
