"""One JSON object a line on standard output, as Cloud Logging reads it (its page "Structured logging")."""

from __future__ import annotations

import logging
import re
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TextIO

import orjson

_out: TextIO | None = None
_least, _project = logging.CRITICAL, ""

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_EXECUTION_ID = re.compile(r"[\w-]{1,64}", re.ASCII)


class _Trace:
    """A trace whose random id is made on first use: a status or a `{ __typename }` never needs it and saves 6 µs."""

    def __init__(self, traceparent: str, execution_id: str) -> None:
        self._traceparent, self.execution_id = traceparent, execution_id

    @property
    def traceparent(self) -> str:
        if not self._traceparent:
            random = secrets.token_hex(24)
            self._traceparent = f"00-{random[:32]}-{random[32:]}-01"
        return self._traceparent


_trace: ContextVar[_Trace | None] = ContextVar("trace", default=None)


def start(*, level: str, project: str) -> None:
    """Start logging; `project` turns traces into links. Of what libraries log, only name and severity are written."""
    global _out, _least, _project
    # With LOG_EXECUTION_ID the framework wraps stdout to label what a request writes; we label our lines ourselves.
    _out = getattr(sys.stdout, "stream", sys.stdout)
    _least, _project = logging.getLevelNamesMapping()[level], project
    handler = logging.StreamHandler(_out)
    handler.setFormatter(_Said())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, _least))
    logging.captureWarnings(True)  # a library's warning may repeat words of an answer


def trace_request(traceparent: str, execution_id: str = "") -> None:
    """
    Bind this task, and those that it creates, to the trace of `traceparent` (W3C Trace Context), or to a new one.

    `execution_id`: the platform's id of this request, from its header Function-Execution-Id.
    """
    known = traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else ""
    _trace.set(_Trace(known, execution_id if execution_id and _EXECUTION_ID.fullmatch(execution_id) else ""))


def traceparent() -> str:
    """Return the traceparent to pass on, or an empty string outside of a request."""
    trace = _trace.get()
    return trace.traceparent if trace else ""


def trace_id() -> str:
    """Return the trace id of this task: 32 hex digits, or an empty string outside of a request."""
    return traceparent()[3:35]


def info(event: str, **fields: Any) -> None:
    _log(logging.INFO, event, fields)


def warning(event: str, **fields: Any) -> None:
    _log(logging.WARNING, event, fields)


def error(event: str, **fields: Any) -> None:
    _log(logging.ERROR, event, fields)


class OnceAMinute:
    """Whether a recurring event is to be reported now: the first time, then at most once a minute."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._silent_until = clock, 0.0

    def __call__(self) -> bool:
        if self._clock() < self._silent_until:
            return False
        self._silent_until = self._clock() + 60
        return True


def place(error: Exception) -> str:
    """Return where an exception was raised: file and line, which hold nothing of a request."""
    traceback = error.__traceback__
    while traceback and traceback.tb_next:
        traceback = traceback.tb_next
    return f"{Path(traceback.tb_frame.f_code.co_filename).name}:{traceback.tb_lineno}" if traceback else ""


def _log(level: int, event: str, fields: dict[str, Any]) -> None:
    """Write a line directly: `logging`, with its records and handlers, would take 5 % of a job's CPU."""
    if _out and level >= _least:
        with suppress(OSError, ValueError):  # nobody reads stdout any more; no request fails for that
            _out.write(_line(logging.getLevelName(level), event, fields) + "\n")
            _out.flush()


class _Said(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return _line(record.levelname, "library.said", {"logger": record.name})


def _line(severity: str, message: str, fields: dict[str, Any]) -> str:
    line: dict[str, Any] = {"severity": severity, "message": message, **fields}
    if trace := _trace.get():
        line["trace"] = trace_id()
        if _project:
            line["logging.googleapis.com/trace"] = f"projects/{_project}/traces/{trace_id()}"
        if trace.execution_id:
            line["logging.googleapis.com/labels"] = {"execution_id": trace.execution_id}
    return orjson.dumps(line, default=str).decode()
