"""Finished drawings in Redis, one copy each, found by the digest of their sketch."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import orjson

from rubydraw import keys, logs
from rubydraw.drawing import Drawing
from rubydraw.errors import StoreUnavailable
from rubydraw.limits.quotas import CACHED, Charge
from rubydraw.png import SIGNATURE
from rubydraw.redis.connection import Command
from rubydraw.redis.round_trip import refusal
from rubydraw.redis.store import Call, Script, Store, raise_first

FIELDS = (
    "title", "style", "palette", "background", "notes", "model", "prompt_version", "provider_ms", "created_at_ms",
    "image_sha256",
)  # fmt: skip
"""The fields of a drawing besides `image`."""

UNSAVED_S = 600.0
"""How long an unsaved drawing is held: as long as Pub/Sub may wait to redeliver (`maximum_backoff` in Terraform)."""
MAX_UNSAVED = 16


class Results:
    """
    An unreadable drawing counts as absent and is overwritten; raises StoreUnavailable when Redis cannot be reached.

    A drawing that Redis does not accept is held in this process for ten minutes, because it was paid for.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._keep, self._store_drawing = Script("kept", "keep"), Script("kept", "store_drawing")
        self._unsaved: dict[str, Drawing] = {}
        self._ends: dict[str, asyncio.TimerHandle] = {}

    async def save(self, digest: str, drawing: Drawing, *then: Call | None, state: Store | None = None) -> list[Any]:
        """
        Store a drawing; if Redis does not accept it, hold it here for ten minutes instead of failing.

        `then`: scripts to run on `state` after that, even if it fails; in the same round trip where results have no
        Redis of their own. Returns their answers: an error in the place of its answer, None where there is none.
        """
        answers: list[Any] = [None] * len(then)
        try:
            if state is self.store:
                stored, answers = await self.store.together((self._storing(digest, drawing),), *then)
                self._stored(digest, drawing, stored)
            else:
                await self.put(digest, drawing)
        except StoreUnavailable:
            logs.warning("result.not_saved", digest=digest[:12])
            self._hold(digest, drawing)
        if state and state is not self.store:
            with suppress(StoreUnavailable):
                _, answers = await state.together((), *then)
        return answers

    @property
    def full(self) -> bool:
        """Whether no more drawings can be held here: a new one that Redis does not accept either would be lost."""
        return len(self._unsaved) >= MAX_UNSAVED

    async def get(self, digest: str, *, with_image: bool = True, charge: Charge | None = None) -> Drawing | None:
        """
        Return a drawing, or None; unless `with_image`, its image does not leave Redis and is `b""`.

        A `charge` is paid in the same round trip, or in parallel where results have a Redis of their own.
        """
        if digest in self._unsaved:
            with suppress(StoreUnavailable):
                await self.put_held(digest)
        if charge and charge.store is not self.store:
            reading = asyncio.ensure_future(self.get(digest, with_image=with_image))
            try:
                await charge.pay_cached()
            finally:
                await asyncio.gather(reading, return_exceptions=True)  # else nobody awaits it if `pay_cached` raises
            return await reading

        count = charge.call(CACHED) if charge else None
        try:
            (answer,), (counted,) = await self.store.together((read_command(digest, with_image),), count)
            found, held = read(answer), self._unsaved.get(digest)
        except StoreUnavailable:
            if held := self._unsaved.get(digest):
                return held
            raise
        if charge:
            charge.answered(CACHED, counted)
        return held if held and not (found and found.created_at_ms > held.created_at_ms) else found

    def along(self, store: Store, digest: str, *, with_image: bool) -> tuple[Command, ...]:
        """Return the command to read a drawing along with others to `store`; none if the drawing is not kept there."""
        return (read_command(digest, with_image),) if store is self.store and digest not in self._unsaved else ()

    async def extend_life(self, digest: str) -> bool:
        """Extend a drawing's life beyond that of a job about to refer to it; return False if the drawing is gone."""
        return bool(await self.store.script(*self.extend_life_call(digest)))

    def extend_life_call(self, digest: str) -> Call:
        """Return the script call of `extend_life`, to be run as a step of another script."""
        return Call(self._keep, [keys.result(digest)], ())

    async def put(self, digest: str, drawing: Drawing) -> None:
        """Store a drawing in place of whatever is there, unless that is a newer drawing."""
        self._stored(digest, drawing, await self.store.pipeline(self._storing(digest, drawing)))

    async def put_held(self, digest: str) -> None:
        """Store a drawing that is held here, if there is one; it stays held if Redis does not accept it."""
        if held := self._unsaved.get(digest):
            await self.put(digest, held)

    def _storing(self, digest: str, drawing: Drawing) -> Command:
        """Return what stores a drawing. An EVAL: the retry of an unknown EVALSHA would run after what follows it."""
        life_ms = keys.RESULT_WITH_FALLBACK_METADATA_MS if drawing.fallback_metadata else keys.RESULT_MS
        fields: dict[str, Any] = {name: getattr(drawing, name) for name in (*FIELDS, "image")}
        fields["palette"], created_at_ms = orjson.dumps(drawing.palette), fields.pop("created_at_ms")
        pairs = [part for pair in fields.items() for part in pair]
        return Call(self._store_drawing, [keys.result(digest)], (life_ms, created_at_ms, *pairs)).whole

    def _hold(self, digest: str, drawing: Drawing) -> None:
        held = self._unsaved.get(digest)
        if held is not drawing and (held or len(self._unsaved) < MAX_UNSAVED):
            self._release(digest)
            self._unsaved[digest] = drawing
            self._ends[digest] = asyncio.get_running_loop().call_later(UNSAVED_S, self._release, digest)

    def _release(self, digest: str) -> None:
        """Hold a drawing no longer, if one is held."""
        if self._unsaved.pop(digest, None):
            self._ends.pop(digest).cancel()

    def _stored(self, digest: str, drawing: Drawing, answers: list[Any]) -> None:
        raise_first(answers)
        held = self._unsaved.get(digest)
        if held and held.created_at_ms <= drawing.created_at_ms:
            self._release(digest)


def read_command(digest: str, with_image: bool = True) -> Command:
    """Return the command that reads a drawing; `read` takes its answer."""
    return ("HMGET", keys.result(digest), *FIELDS, *(("image",) if with_image else ()))


def read(answer: Any) -> Drawing | None:
    """
    Return the drawing in the answer to `read_command`, or None where it is absent, foreign or damaged.

    Raises StoreUnavailable if Redis refuses to read: then nobody knows what is kept. Whatever kept.lua takes for
    damaged counts as damaged here too: else a job could never be `done` with it, nor would it be drawn anew.
    """
    if refusal(answer) not in ("", "WRONGTYPE"):
        raise StoreUnavailable
    if not isinstance(answer, list):
        return None
    *needed, image_sha256 = answer[: len(FIELDS)]  # an older revision stored no image_sha256
    images = answer[len(FIELDS) :]  # one, if it was asked for
    if None in needed or not all(image and image.startswith(SIGNATURE) and image != SIGNATURE for image in images):
        return None
    title, style, palette, background, notes, model, prompt_version, provider_ms, created_at_ms = needed
    if not (provider_ms.isdigit() and created_at_ms.isdigit()):  # `int` takes 1_0, Lua does not
        return None
    try:
        return Drawing(
            images[0] if images else b"", title.decode(), style.decode(), _colours(palette), background.decode(),
            notes.decode(), model.decode(), prompt_version.decode(), int(provider_ms), int(created_at_ms),
            image_sha256=image_sha256.decode() if image_sha256 else "",
        )  # fmt: skip
    except ValueError:
        return None


def _colours(palette: bytes) -> tuple[str, ...]:
    """Read what `_storing` wrote; raise ValueError."""
    colours = orjson.loads(palette)
    if not palette.startswith(b"[") or not all(isinstance(colour, str) for colour in colours):
        raise ValueError
    return tuple(colours)
