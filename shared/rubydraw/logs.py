"""One JSON object a line on standard output, as Cloud Logging reads it (its page "Structured logging")."""

from __future__ import annotations

import logging
import re
import secrets
import sys
from contextvars import ContextVar
from typing import Any

import orjson

_logger = logging.getLogger("rubydraw")
_project = ""

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class _Trace:
    """A trace that is drawn by lot when somebody first asks: 6 µs that a status or a `{ __typename }` never needs."""

    def __init__(self, traceparent: str) -> None:
        self._traceparent = traceparent

    @property
    def traceparent(self) -> str:
        if not self._traceparent:
            random = secrets.token_hex(24)
            self._traceparent = f"00-{random[:32]}-{random[32:]}-01"
        return self._traceparent


_trace: ContextVar[_Trace | None] = ContextVar("trace", default=None)


def start(*, level: str, project: str) -> None:
    """Log from now on; `project` makes traces links. What libraries say is logged by name and severity alone."""
    global _project
    _project = project
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Line())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)  # Google's SDK repeats words of an answer in them
    _logger.setLevel(level)
    # With LOG_EXECUTION_ID the framework configures logging after our import, and so disables what it finds.
    _logger.disabled = False


def trace_request(traceparent: str) -> None:
    """Bind this task, and those that it makes, to the trace of `traceparent` (W3C Trace Context), or to a new one."""
    _trace.set(_Trace(traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else ""))


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


def _log(level: int, event: str, fields: dict[str, Any]) -> None:
    if _logger.isEnabledFor(level):
        _logger.log(level, event, extra={"fields": fields})


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        ours = record.name == _logger.name
        line: dict[str, Any] = {
            "severity": record.levelname,
            "message": record.getMessage() if ours else "library.said",
        }
        line |= record.__dict__.get("fields", {}) if ours else {"logger": record.name}
        if trace := trace_id():
            line["trace"] = trace
            if _project:
                line["logging.googleapis.com/trace"] = f"projects/{_project}/traces/{trace}"
        return orjson.dumps(line, default=str).decode()
