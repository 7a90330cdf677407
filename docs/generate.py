"""Writes `docs/reference.md` from the code and its template; `--check` says whether the page is stale instead."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from rubydraw import keys, png, sketch
from rubydraw.errors import Code
from rubydraw.graphql_settings import GraphqlSettings
from rubydraw.jobs import durations, updates
from rubydraw.jobs.idempotency import MAX_CHARS
from rubydraw.limits import quotas
from rubydraw.setting import NEEDED
from rubydraw.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference.md"
TEMPLATE = ROOT / "docs" / "reference.template.md"
SOURCES = (ROOT / "shared" / "rubydraw", ROOT / "functions" / "graphql", ROOT / "functions" / "worker")

UNITS = {
    "_s": "s",
    "_ms": "ms",
    "_bytes": "bytes",
    "_attempts": "calls",
    "_flight": "calls",
    "_allowance_per_minute": "calls",
    "requests_per_minute": "requests",
}

TO_DO = {
    Code.BAD_INPUT: "Change what the message names: the same input will be refused again.",
    Code.IDEMPOTENCY_CONFLICT: "Use a new key for the new sketch.",
    Code.CONTENT_REFUSED: "Have the user change the sketch or the hints.",
    Code.MISCONFIGURED: "Nothing: only the operator can correct this.",
    Code.CANCELED: "Nothing: this code is never sent to a client.",
    Code.NO_IMAGE: "Submit again, or ask for another `variant`.",
    Code.BAD_ANSWER: "Submit again.",
    Code.TIMEOUT: "Submit again, preferably with `async: true`.",
    Code.PROVIDER_OVERLOADED: "Submit again after `retryAfterSeconds`.",
    Code.PROVIDER_FAILED: "Submit again, after `retryAfterSeconds` if that is given.",
    Code.UNAVAILABLE: "Submit or ask again after `retryAfterSeconds`, or after some seconds if that is not given.",
    Code.RATE_LIMITED: "Submit again after `retryAfterSeconds`.",
    Code.BUDGET_EXCEEDED: "Submit again after `retryAfterSeconds`; kept drawings are still served meanwhile.",
    Code.RESULT_EXPIRED: "Submit the same sketch again.",
    Code.EXPIRED: "Submit the same sketch again.",
}

EVENTS = {
    "access.no_key_set": "the issuer's keys could not be fetched; keys fetched before stay in use, and a token signed "
    "with any other key gets 503",
    "access.refused": "a caller got 401; `reason`: `none` (no credential), `malformed`, `unknown_key`, `expired_key`, "
    "`bad_subject`, or the name of PyJWT's exception, such as `ExpiredSignatureError`",
    "answer.fault": "an unexpected exception outside of operations and deliveries",
    "answer.not_read": "a client read less than half a MiB of its answer in a minute, and was disconnected",
    "archive.damaged": "an object in the archive is truncated, changed or not ours; it counts as absent, and is "
    "overwritten when its sketch is drawn again",
    "archive.failed": "the archive was too slow, or answered with an error; after three failures in a row it is not "
    "used for 10 s",
    "budget.exceeded": "a new drawing was refused because its call would exceed today's budget; `of`: the budget of "
    "`all` callers, or of this `caller`",
    "budget.settled": "what a call cost, and the number and cost of all calls since midnight UTC; costs in millionths "
    "of a dollar",
    "delivery.fault": "an unexpected exception; the message will be delivered again",
    "delivery.malformed": "a message arrived that is not a valid job",
    "delivery.newer_schema": "a message arrived that a newer revision wrote; it will be delivered again",
    "flight.not_renewed": "the lock on a sketch could not be renewed; the call goes on",
    "gemini.answered": "Gemini answered with a drawing",
    "gemini.asked": "a call to Gemini begins; each call may be billed",
    "gemini.asked_without_redis": "a call begins while Redis is away; it counts against `LOCAL_ALLOWANCE_PER_MINUTE`, "
    "not against the budget",
    "gemini.failed": "a call to Gemini ended without a drawing",
    "instance.full": "work was refused because this instance is full, logged at most once a minute; `of` says of what: "
    "`calls` in flight, request `bodies`, or `viewers` of jobs",
    "instance.stopping": "SIGTERM was received; no new work is begun",
    "job.claimed": "a delivery tried to claim its job; `kind` is the result: `run`, `settled`, `busy`, "
    "`surplus`, `expired` or `exhausted`",
    "job.completed": "a job ended with a drawing",
    "job.failed": "an attempt ended without a drawing; `status` is the state that the job is in now",
    "job.given_up": "a job, or a message that is not a valid job, was given up and needs an operator; `kept`: whether "
    "it was copied to the dead-letter topic",
    "job.not_recorded": "the drawing of a job is ready, but Redis did not record the job as `done`; the worker retries "
    "for some seconds",
    "job.not_renewed": "the lease on a job could not be renewed; the work on it goes on",
    "job.submitted": "a job was accepted",
    "publish.failed": "a message could not be published in time, or no access token could be obtained; `kind`: the "
    "last status, the name of an error, `NoMessageId` if a 200 did not come from Pub/Sub, or `credentials`",
    "publish.refused": "Pub/Sub refuses a message, or there are no credentials; a retry would not help; `kind`: the "
    "status, or `credentials`",
    "redis.lost": "Redis does not answer, or refuses a command, logged at most once a minute; `kind`: the name of an "
    "error, or the error word that Redis answered",
    "request.fault": "an unexpected exception; the client was told the trace id",
    "result.not_saved": "Redis did not store a drawing; this instance holds it for ten minutes",
    "results.lost": "the same as `redis.lost`, for the separate Redis of the results; expected where the cache is off",
    "sketch.improved": "a synchronous request was answered with a drawing",
    "stream.not_read": "the client of a stream did not read for some seconds, and was disconnected",
    "updates.lost": "the Redis connection for updates of jobs is down, logged at most once a minute; meanwhile watched "
    "jobs are read every few seconds",
}


def settings_table() -> str:
    """Return the settings as they stand in the class: variable, default, unit and meaning."""
    rows = []
    for field in fields(GraphqlSettings):
        unit = next((unit for ending, unit in UNITS.items() if field.name.endswith(ending)), "")
        rows.append((f"`{field.name.upper()}`", _default(field.default), unit, field.metadata["description"]))
    return _table(("variable", "default", "unit", "meaning"), rows)


def errors_table() -> str:
    """Return every code with its sentence, and what a client does about it."""
    rows = ((f"`{code}`", "yes" if code.retryable else "no", code.sentence, TO_DO[code]) for code in Code)
    return _table(("code", "retryable", "sentence, unless there is a more specific one", "what a client does"), rows)


def events_table() -> str:
    """Return every event that the code logs, with its severity and fields as the code has them."""
    rows = ((f"`{name}`", severity, _fields(fields), EVENTS[name]) for name, severity, fields in sorted(logged()))
    return _table(("event", "severity", "fields", "what happened"), rows)


def logged() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield event, severity and fields of every call of `logs.info`, `logs.warning` and `logs.error` in the code."""
    for path in sorted(path for folder in SOURCES for path in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="logs"), attr="info" | "warning" | "error" as severity),
                    args=[ast.Constant(value=str(event))],
                    keywords=fields,
                ):
                    yield event, severity.upper(), tuple(field.arg or "**" for field in fields)


def limits() -> dict[str, str]:
    """Return the figures that the template names, each from where the code has it."""
    endpoint = ROOT / "functions" / "graphql"
    if str(endpoint) not in sys.path:
        sys.path.append(str(endpoint))  # last, as functions-framework does
    modules = "access complexity cors documents key_set lingering parameters readers resolvers sse tokens"
    access, complexity, cors, documents, key_set, lingering, parameters, readers, resolvers, sse, tokens = map(
        importlib.import_module, modules.split()
    )
    return {
        "credential": f"{access.MAX_CREDENTIAL_CHARS:,}",
        "algorithms": " and ".join(sorted(key_set.ALGORITHMS)),
        "leeway_s": str(tokens.LEEWAY_S),
        "subject": str(tokens.MAX_SUBJECT_CHARS),
        "key_set": _bytes(key_set.MAX_BYTES),
        "fresh_min": f"{key_set.FRESH_S / 60:.0f}",
        "fetch_s": f"{key_set.FETCH_S:.0f}",
        "first_again_s": f"{key_set.FIRST_AGAIN_S:.0f}",
        "cors_exposed": cors.EXPOSED,
        "failures": str(quotas.FAILURES),
        "body": _bytes(parameters.MAX_BODY_BYTES),
        "marks": f"{parameters.MAX_MARKS:,}",
        "strings": f"{parameters.MAX_STRINGS:,}",
        "body_s": f"{readers.BODY_S:.0f}",
        "linger_mib": f"{lingering.LINGER_BYTES // 1024**2}",
        "linger_s": f"{lingering.LINGER_S:.0f}",
        "document": _bytes(documents.MAX_DOCUMENT_BYTES),
        "literal": f"{documents.MAX_LITERAL_CHARACTERS:,} characters",
        "tokens": f"{documents.MAX_TOKENS:,}",
        "depth": str(complexity.MAX_DEPTH),
        "aliases": str(complexity.MAX_ALIASES),
        "repeats": str(complexity.MAX_REPEATS),
        "base64_pictures": str(complexity.MAX_PICTURES["imageBase64"]),
        "picture_urls": str(complexity.MAX_PICTURES["imageUrl"]),
        "selections": f"{complexity.MAX_SELECTIONS:,}",
        "cors_methods": cors.METHODS,
        "cors_headers": cors.HEADERS,
        "png": _bytes(Settings.max_png_bytes),
        "side": f"{png.MAX_SIDE_PX:,}",
        "pixels": f"{png.MAX_PIXELS // 1_000_000}",
        "chunks": f"{png.MAX_CHUNKS:,}",
        "svg": _bytes(sketch.MAX_SVG_BYTES),
        "hints": f"{sketch.MAX_HINTS_CHARS:,}",
        "combining": str(sketch.MAX_MARKS),
        "variant": str(sketch.MAX_VARIANT),
        "caller_settings": str(len(fields(GraphqlSettings)) - len(fields(Settings))),
        "key_chars": str(MAX_CHARS),
        "mutation_id_chars": str(resolvers.MAX_CLIENT_MUTATION_ID_CHARS),
        "wait_s": str(resolvers.LONGEST_WAIT_S),
        "durations": str(durations.KEPT),
        "look_s": f"{updates.LOOK_S[1]:.0f}",
        "ping_s": f"{sse.PING_S:.0f}",
        "piece": _bytes(sse.PIECE_BYTES),
        "piece_s": f"{sse.PIECE_S:.0f}",
        "viewers_of_one": str(updates.MAX_VIEWERS_OF_ONE),
        "viewers": f"{updates.MAX_VIEWERS:,}",
        "result_days": str(keys.RESULT_MS // (24 * keys.HOUR_MS)),
        "key_hours": str(keys.IDEMPOTENCY_MS // keys.HOUR_MS),
    }


def page() -> str:
    """Return the whole page."""
    text = TEMPLATE.read_text("utf-8")
    tables = {"settings": settings_table(), "errors": errors_table(), "events": events_table()}
    for name, value in (tables | limits()).items():
        if "{{" + name + "}}" not in text:
            raise KeyError(f"the template does not show {name}")
        text = text.replace("{{" + name + "}}", value)
    if unknown := re.findall(r"\{\{\w+\}\}", text):
        raise KeyError(f"the template names what limits() does not have: {', '.join(unknown)}")
    return text


def _default(value: Any) -> str:
    if value is NEEDED:
        return "**needed**"
    text = str(value).lower() if isinstance(value, bool) else str(value or "") if value != 0 else "0"
    return f"`{text}`" if text else ""


def _fields(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _bytes(number: int) -> str:
    return f"{number // 1024**2} MiB" if number >= 1024**2 else f"{number // 1024} KiB"


def _table(head: Iterable[str], rows: Iterable[Iterable[str | None]]) -> str:
    lines = [list(head), *([cell or "" for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main(arguments: list[str]) -> str | None:
    """Write the page, or with `--check` return what is wrong with it."""
    if strangers := EVENTS.keys() ^ {event for event, _, _ in logged()}:
        return f"EVENTS in docs/generate.py must explain what is logged and no more: {', '.join(sorted(strangers))}."
    if untold := [field.name.upper() for field in fields(GraphqlSettings) if not field.metadata["description"]]:
        return f"Settings without a description: {', '.join(untold)}."
    text = page()
    if arguments != ["--check"]:
        PAGE.write_text(text, "utf-8")
    elif not PAGE.exists() or PAGE.read_text("utf-8") != text:
        return "docs/reference.md is stale: run `make docs`."
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
