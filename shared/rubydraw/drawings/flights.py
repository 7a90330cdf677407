"""Flights: one caller in the whole fleet asks Gemini for a sketch, the others wait for its answer."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, suppress
from typing import Any, NamedTuple

from rubydraw import keys, logs
from rubydraw.drawing import Drawing
from rubydraw.drawings import results
from rubydraw.drawings.results import Results
from rubydraw.errors import REMEMBERED, SketchError, StoreUnavailable, shared_failure
from rubydraw.heartbeat import beating
from rubydraw.redis.connection import Command
from rubydraw.redis.store import Call, Script, Store, raise_first

# The formats that land_flight.lua and cool_down.lua write; anything else is foreign and ignored.
_FAILED = re.compile(rb"failed:([A-Z_]+):(\d+):([012])")
_COUNTED, _FINAL, _NOTHING_BILLED = 0, 1, 2
_COOLDOWN = re.compile(rb"(\d+):\d+")


class Look(NamedTuple):
    """
    What is known of a sketch, read in one round trip.

    `ours`: we hold the flight. `failure`: the last caller's failure, or Gemini's refusal of this sketch; it answers us
    too. `cooldown_s`: seconds in which nobody should call Gemini. `now_ms`: Redis' clock. `blind`: the results' own
    Redis cannot be reached, so nobody knows what is kept, or it takes nothing and this process can hold no more.
    """

    drawing: Drawing | None
    ours: bool = False
    taken: bool = False
    failure: SketchError | None = None
    cooldown_s: float = 0.0
    now_ms: int = 0
    blind: bool = False

    def since(self, since_ms: int) -> Look:
        """Return this look, without its drawing if that was finished before `since_ms`."""
        return self._replace(drawing=None) if self.drawing and self.drawing.created_at_ms < since_ms else self


class Flights:
    """Raises StoreUnavailable when Redis cannot be reached."""

    def __init__(self, state: Store, results_: Results, *, lease_ms: int, heartbeat_ms: int, max_failures: int) -> None:
        self._state, self._results = state, results_
        self._lease_ms, self._heartbeat_s, self._max_failures = lease_ms, heartbeat_ms / 1000, max_failures
        self._renew, self._land, self._cool = Script("renew_flight"), Script("land_flight"), Script("cool_down")

    async def look(self, digest: str, *, token: str = "", with_image: bool = True) -> Look:
        """
        Read what is known of a sketch. If `token` is given, take the flight with it first, unless somebody holds it.

        The read comes after the take, so that the winner sees what the previous holder stored. Unless `with_image`,
        the drawing's image stays in Redis and is `b""`.
        """

        flight: Command = ("GET", keys.flight(digest))
        if token:
            flight = ("SET", keys.flight(digest), token, "NX", "GET", "PX", self._lease_ms)
        commands: list[Command] = [flight, ("GET", keys.refused(digest)), ("GET", keys.COOLDOWN), ("TIME",)]
        if self._results.store is self._state:
            commands.append(results.read_command(digest, with_image))
        answers = await self._state.pipeline(*commands)
        raise_first(answers[:4])
        if len(answers) == 5:
            return _look(answers, token, results.read(answers[4]))
        try:
            found = await self._results.get(digest, with_image=with_image)
            return _look(answers, token, found)._replace(blind=self._results.full)
        except StoreUnavailable:
            return _look(answers, token, None)._replace(blind=True)

    def hold(self, digest: str, token: str) -> AbstractContextManager[None]:
        """Renew our flight until the end of the block; a renewal that fails does not end the call."""
        return beating(self._heartbeat_s, lambda: self._beat(digest, token))

    async def land(self, digest: str, token: str, failure: SketchError | None = None) -> None:
        """
        Release our flight. A `failure` answers all callers who wait, and those who come in the next 5 s; if a retry can
        help, all are told to wait that long, our own caller too.

        When as many calls for one sketch as a job has attempts have failed, less than a minute apart, the failure
        becomes final: it answers for a minute and ends every job that meets it. So a thousand jobs cost no more than
        one. Calls that cannot have been billed do not count.
        """
        code, life_ms, retry_ms, kind = "", 0, 0, _COUNTED
        with suppress(StoreUnavailable):  # the flight expires by itself
            if failure:
                failure.final = failure.may_be_billed and await self._count(digest) >= self._max_failures
                code, life_ms = failure.code, keys.FAILED_FOR_GOOD_MS if failure.final else keys.FAILED_FLIGHT_MS
                if failure.retryable:
                    retry_ms = max(int((failure.retry_after_s or 0) * 1000), life_ms)
                    failure.retry_after_s = retry_ms / 1000
                kind = _FINAL if failure.final else _COUNTED if failure.may_be_billed else _NOTHING_BILLED
            await self._state.script(self._land, [keys.flight(digest)], (token, code, life_ms, retry_ms, kind))

    def landing(self, digest: str, token: str) -> Call:
        """Return the script call that releases our flight, to be run right after its drawing is stored."""
        return Call(self._land, [keys.flight(digest)], (token, "", 0, 0, _COUNTED))

    async def _count(self, digest: str) -> int:
        """Count one more failed call. Sent twice, it counts twice, and the failure becomes final one call early."""
        key = keys.failures(digest)
        answers = await self._state.pipeline(("INCR", key), ("PEXPIRE", key, keys.FAILED_FOR_GOOD_MS))
        raise_first(answers)
        return int(answers[0])

    async def remember_refusal(self, digest: str, failure: SketchError) -> None:
        """Keep a refusal that depends on the sketch alone, so that asking again costs nothing."""
        if isinstance(failure, REMEMBERED):
            with suppress(StoreUnavailable):
                await self._state.command("SET", keys.refused(digest), failure.code, "PX", keys.REFUSED_MS)

    async def failed_for_s(self, digest: str) -> float:
        """Return for how many seconds the last flight's failure still answers callers; 0 if there is none or final."""
        key = keys.flight(digest)
        answers = await self._state.pipeline(("GET", key), ("PTTL", key))
        raise_first(answers)
        holder, life_ms = answers
        landed = _FAILED.fullmatch(holder or b"")
        if not landed or int(landed[3]) == _FINAL:
            return 0.0
        return (max(int(life_ms), 0) + 1) / 1000  # a key still exists in the millisecond in which it expires

    async def cool_down(self, named_s: float | None) -> float:
        """Stop the fleet's calls to Gemini, for the delay that it named or else 15 s, doubling; return the seconds."""
        args = (int((named_s or 0) * 1000), keys.FIRST_COOLDOWN_MS, keys.LONGEST_COOLDOWN_MS)
        try:
            return float(await self._state.script(self._cool, [keys.COOLDOWN], args)) / 1000
        except StoreUnavailable:
            return named_s or keys.FIRST_COOLDOWN_MS / 1000

    async def _beat(self, digest: str, token: str) -> None:
        try:
            await self._state.script(self._renew, [keys.flight(digest)], (token, self._lease_ms))
        except StoreUnavailable:
            logs.warning("flight.not_renewed", digest=digest[:12])


def _look(answers: list[Any], token: str, drawing: Drawing | None) -> Look:
    holder, refused, cooldown, (seconds, micros) = answers[:4]
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    ours = bool(token) and (holder is None or holder == token.encode())
    if refused:
        failure: SketchError | None = shared_failure(refused.decode(errors="replace"))
    else:
        failure = _landed_failure(holder or b"", now_ms)
    cooldown_until = _COOLDOWN.fullmatch(cooldown or b"")
    return Look(
        drawing=drawing,
        ours=ours,
        taken=holder is not None and not ours,
        failure=failure,
        cooldown_s=max(int(cooldown_until[1]) - now_ms, 0) / 1000 if cooldown_until else 0.0,
        now_ms=now_ms,
    )


def _landed_failure(holder: bytes, now_ms: int) -> SketchError | None:
    """Return the failure that the last holder of a flight left behind, if it did."""
    landed = _FAILED.fullmatch(holder)
    if landed is None:
        return None
    retry_at_ms = int(landed[2])
    wait_s = max(retry_at_ms - now_ms, 0) / 1000 if retry_at_ms else None
    kind = int(landed[3])
    return shared_failure(
        landed[1].decode(), retry_after_s=wait_s, final=kind == _FINAL, billed=kind != _NOTHING_BILLED
    )
