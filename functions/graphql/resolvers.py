"""Resolvers: translate GraphQL input into calls of `submit` and `watch`, and their results into GraphQL."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, NamedTuple

import answers
import rate_limit_fields
from addresses import Addresses, origin
from answers import Words
from execution import Info
from graphql import GraphQLError
from incoming import Incoming
from leaving import until_gone
from preferences import LONGEST_WAIT_S, Preferences, preferences
from rubydraw import logs
from rubydraw.drawing import CacheUse
from rubydraw.drawings.images import Images
from rubydraw.errors import BadSketch, RateLimited, SketchError, Stopping, StoreUnavailable, Unavailable
from rubydraw.limits.quotas import Charge, Quotas
from rubydraw.principal import Principal
from rubydraw.settings import Settings
from rubydraw.sketch import Sketch
from rubydraw.submit import Submit
from rubydraw.watch import Watch

MAX_CLIENT_MUTATION_ID_CHARS = 256


class Context(NamedTuple):
    """The request that an operation came with, and its caller."""

    incoming: Incoming
    principal: Principal


def on_fault(error: Exception) -> str:
    """Log a fault of ours by kind and place, as its text may hold what a client sent; return the trace id."""
    logs.error("request.fault", kind=type(error).__name__, at=logs.place(error))
    return logs.trace_id()


class Resolvers:
    """The fields of the contract that are more than an entry of the answer around them."""

    def __init__(
        self, submit: Submit, watch: Watch, quotas: Quotas, images: Images, addresses: Addresses, settings: Settings
    ) -> None:
        self._submit, self._watch, self._quotas = submit, watch, quotas
        self._images, self._addresses, self._settings = images, addresses, settings

    async def improve_sketch(self, _: Any, info: Info, input: Words) -> Words:
        client_mutation_id, asked = input.get("clientMutationId"), _context(info)
        charge, failure = self._quotas.charge(asked.principal), None
        try:
            answer = await self._improved(info, input, charge)
        except SketchError as error:
            failure = error
            answer = {
                "errors": [error.message],
                "problem": answers.problem(error.code, error.message, error.retry_after_s),
            }
        asked.incoming.answer_headers.update(rate_limit_fields.fields(charge.quota, failure))
        return {"errors": [], "clientMutationId": client_mutation_id, **answer}

    async def status(self, _: Any, info: Info, requestId: str) -> Words:  # noqa: N803
        try:
            seen = await self._watch.once(requestId, _context(info).principal.owner, **_wanted(info))
        except Unavailable as error:
            raise _unavailable(error) from None
        return answers.status(requestId, seen, self._settings.max_attempts)

    async def statuses(self, _: Any, info: Info, requestId: str) -> AsyncGenerator[Words]:  # noqa: N803
        _, principal = _context(info)
        try:
            await self._quotas.charge(principal).pay_cached()
            following = self._watch.follow(requestId, principal.owner, account=principal.account, **_wanted(info))
            async with aclosing(following) as states:
                async for seen in states:
                    yield answers.status(requestId, seen, self._settings.max_attempts)
        except Stopping:
            raise
        except (Unavailable, RateLimited) as error:
            raise _unavailable(error) from None

    async def image_url(self, words: Words, info: Info) -> str:
        try:
            return self._addresses.of(await self._images.name(*words["named"]), origin(_context(info).incoming))
        except StoreUnavailable as error:
            if url := answers.data_url(words):
                return url
            raise _unavailable(error) from None

    async def _improved(self, info: Info, input: Words, charge: Charge) -> Words:
        charge.check()  # first, so that nothing is decoded for a caller who is refused anyway
        if (chars := len(input.get("clientMutationId") or "")) > MAX_CLIENT_MUTATION_ID_CHARS:
            raise BadSketch(
                f"clientMutationId has {chars} characters; at most {MAX_CLIENT_MUTATION_ID_CHARS} are allowed."
            )
        incoming = _context(info).incoming
        preferred = preferences(incoming.header(b"prefer"))
        later = bool(input.get("async")) or preferred.respond_async
        wait_s = _wait_s(input.get("waitSeconds"), preferred, later)
        sketch = _sketch(input, self._settings.max_png_bytes)
        if incoming.room:
            incoming.room.shrink(len(sketch.png) + len(sketch.svg))
        cache = CacheUse(input.get("cache") or CacheUse.USE)
        if not later:
            input.clear()  # of what is left, a key of any length would stay while the drawing is awaited
            with_image = info.field.selects("result", "imageBase64")
            done = await self._submit.now(sketch, charge, with_image=with_image, cache=cache)
            return {"result": answers.result(done.digest, done.drawing, done.outcome, with_image=with_image)}
        key = input.get("idempotencyKey")
        key = incoming.header(b"idempotency-key") if key is None else key
        request_id = await self._submit.later(sketch, charge, idempotency_key=key, cache=cache)
        del sketch
        return {"requestId": request_id, **(await self._waited(info, request_id, wait_s) if wait_s else {})}

    async def _waited(self, info: Info, request_id: str, wait_s: float) -> Words:
        """Return the result or the problem of a job that settles within `wait_s`; otherwise nothing."""
        with_image = info.field.selects("result", "imageBase64")
        with_drawing = any(map(info.field.selects, ("result", "errors", "problem")))
        incoming, (owner, account, _) = _context(info)
        waiting = self._watch.settled(
            request_id, owner, within_s=wait_s, account=account, with_image=with_image, with_drawing=with_drawing
        )
        if incoming.room:
            incoming.room.give_back()  # nothing of the body is left, and others need the room
        seen = await until_gone(waiting, incoming.receive)  # others need its place
        if seen is None or seen.job is None:
            return {}
        if seen.code:
            problem = answers.failure(seen.job, seen.code)
            return {"errors": [problem["message"]], "problem": problem}
        return {"result": answers.result(seen.job.digest, seen.drawing, seen.job.outcome)} if seen.drawing else {}


def _context(info: Info) -> Context:
    asked: Context = info.context
    return asked


def _wanted(info: Info) -> dict[str, bool]:
    """Return what to read of a drawing; `status` depends on it: a job whose drawing is gone is `error`, not `done`."""
    with_drawing = any(map(info.field.selects, ("result", "status", "error", "problem")))
    return {"with_image": info.field.selects("result", "imageBase64"), "with_drawing": with_drawing}


def _unavailable(error: Unavailable | RateLimited) -> GraphQLError:
    extensions: Words = {"code": error.code, "trace": logs.trace_id()}
    if error.retry_after_s is not None:
        extensions["retryAfterSeconds"] = error.retry_after_s
    return GraphQLError(error.message, extensions=extensions)


def _sketch(input: Words, max_png_bytes: int) -> Sketch:
    """Take the sketch out of the input, so that its text does not stay; raise BadSketch."""
    return Sketch.from_base64(
        input.pop("pngBase64"),
        input.pop("svg", None),
        input.pop("hints", None),
        input.get("variant"),
        max_png_bytes=max_png_bytes,
    )


def _wait_s(seconds: int | None, preferred: Preferences, later: bool) -> int:
    """Return how long to wait for a job, 0 for not at all; raise BadSketch."""
    if seconds is None:
        return preferred.wait_s
    if not 0 <= seconds <= LONGEST_WAIT_S:
        raise BadSketch(f"waitSeconds is {seconds}; allowed are 0 to {LONGEST_WAIT_S}.")
    if not later:
        raise BadSketch("waitSeconds is for async requests: send async: true with it, or leave it out.")
    return seconds
