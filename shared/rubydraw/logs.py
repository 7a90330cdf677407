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
    """A trace that is drawn by lot when somebody first asks: 6 µs that a status or a `{ __typename }` never needs."""

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
    """Log from now on; `project` makes traces links. What libraries say is logged by name and severity alone."""
    global _out, _least, _project
    # With LOG_EXECUTION_ID the framework marks what is written while it handles a request; we mark our lines ourselves.
    _out = getattr(sys.stdout, "stream", sys.stdout)
    _least, _project = logging.getLevelNamesMapping()[level], project
    handler = logging.StreamHandler(_out)
    handler.setFormatter(_Said())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, _least))
    logging.captureWarnings(True)  # a library may repeat words of an answer in them


def trace_request(traceparent: str, execution_id: str = "") -> None:
    """
    Bind this task, and those that it makes, to the trace of `traceparent` (W3C Trace Context), or to a new one.

    `execution_id`: what the platform calls this request, in its header Function-Execution-Id.
    """
    known = traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else ""
    _trace.set(_Trace(known, execution_id if execution_id and _EXECUTION_ID.fullmatch(execution_id) else ""))


def traceparent() -> str:
    """Return what to pass on, or nothing outside of a request."""
    trace = _trace.get()
    return trace.traceparent if trace else ""


def trace_id() -> str:
    """Return the trace of this task: 32 hex digits, or nothing outside of a request."""
    return traceparent()[3:35]


def info(event: str, **fields: Any) -> None:
    _log(logging.INFO, event, fields)


def warning(event: str, **fields: Any) -> None:
    _log(logging.WARNING, event, fields)


def error(event: str, **fields: Any) -> None:
    _log(logging.ERROR, event, fields)


class OnceAMinute:
    """Whether what goes on for long is to be told now: at its first time, then once a minute."""

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
    """Write a line ourselves: the records of `logging`, and their way to a handler, would be 5 % of a job's CPU."""
    if _out and level >= _least:
        with suppress(OSError, ValueError):  # nobody reads it any more; that ends no request
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
