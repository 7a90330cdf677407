"""One JSON object a line, with the trace, and nothing in it that others say."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import re
import subprocess
import sys
from contextlib import suppress
from typing import Any

import orjson
import pytest
from functions_framework.execution_id import LoggingHandlerAddExecutionId
from rubydraw import logs

CANARY = "c4n4ry-s3cr3t"
TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


pytestmark = pytest.mark.usefixtures("logging_as_it_was")


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Any:
    """What was logged since the last call, each line parsed; nothing goes to standard error."""

    def read() -> list[dict[str, Any]]:
        out, err = capsys.readouterr()
        assert err == ""
        return [orjson.loads(line) for line in out.splitlines()]

    return read


def test_an_event_is_one_json_object(lines: Any) -> None:
    """Severity and event name, then the fields as they are."""
    logs.start(level="INFO", project="")
    logs.info("job.claimed", request_id="r", attempt=2, kept=True, digest=None)
    logs.warning("job.failed", took_ms=1.5)
    logs.error("job.given_up")
    assert lines() == [
        {"severity": "INFO", "message": "job.claimed", "request_id": "r", "attempt": 2, "kept": True, "digest": None},
        {"severity": "WARNING", "message": "job.failed", "took_ms": 1.5},
        {"severity": "ERROR", "message": "job.given_up"},
    ]


@pytest.mark.parametrize(("level", "expected"), [("DEBUG", 3), ("INFO", 3), ("WARNING", 2), ("ERROR", 1)])
def test_the_level_is_the_least_severity(lines: Any, level: str, expected: int) -> None:
    """What is below is not written."""
    logs.start(level=level, project="")
    logs.info("a.b")
    logs.warning("a.b")
    logs.error("a.b")
    assert expected == len(lines())


@pytest.mark.parametrize(("level", "expected"), [("DEBUG", 2), ("WARNING", 2), ("ERROR", 1)])
def test_the_level_is_that_of_libraries_too(lines: Any, level: str, expected: int) -> None:
    """They begin at WARNING."""
    logs.start(level=level, project="")
    logging.getLogger("httpx2").warning("x")
    logging.getLogger("httpx2").error("x")
    assert expected == len(lines())


def test_what_goes_on_is_told_once_a_minute() -> None:
    """At its first time, and when a minute has passed since it was told."""
    now_s = 1000.0
    is_due = logs.OnceAMinute(clock=lambda: now_s)
    told = []
    for now_s in (1000.0, 1000.1, 1059.9, 1060.0, 1119.9, 1500.0):  # noqa: B007
        told.append(is_due())
    assert [True, False, False, True, False, True] == told


@pytest.mark.parametrize(
    "forged", ['x"}\n{"severity":"CRITICAL","message":"forged"}', "a\r\nb", "\x1b[2J\x00", "\u2028\x85"]
)
def test_a_line_cannot_be_forged(capsys: pytest.CaptureFixture[str], forged: str) -> None:
    """Line ends and escapes in a field stay inside its string."""
    logs.start(level="INFO", project="")
    logs.info("job.claimed", request_id=forged)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", out)
    assert forged == orjson.loads(out)["request_id"]


def test_libraries_are_cut_to_their_names(lines: Any) -> None:
    """Their messages, arguments and exceptions may repeat keys, addresses and what clients sent."""
    logs.start(level="INFO", project="")
    library = logging.getLogger("httpx2.some.part")
    library.warning("GET https://x/?key=%s", CANARY)
    try:
        raise ValueError(CANARY)
    except ValueError:
        library.exception(CANARY, stack_info=True, extra={"fields": {"key": CANARY}})
    logging.getLogger().error(CANARY)
    assert lines() == [
        {"severity": "WARNING", "message": "library.said", "logger": "httpx2.some.part"},
        {"severity": "ERROR", "message": "library.said", "logger": "httpx2.some.part"},
        {"severity": "ERROR", "message": "library.said", "logger": "root"},
    ]


def test_what_libraries_say_in_passing_is_not_logged(lines: Any) -> None:
    """HTTP clients log every request at INFO, and a server may have opened the root for them."""
    logging.getLogger().setLevel(logging.DEBUG)
    logs.start(level="DEBUG", project="")
    logging.getLogger("httpx2").info("POST https://x")
    logging.getLogger("redis").debug("x")
    assert lines() == []


def test_names_that_only_look_like_ours_are_cut_too(lines: Any) -> None:
    """Only our one logger may speak."""
    logs.start(level="INFO", project="")
    logging.getLogger("rubydraw.other").warning(CANARY)
    logging.getLogger("rubydrawx").warning(CANARY)
    assert [line["message"] for line in lines()] == ["library.said", "library.said"]


def test_warnings_of_libraries_are_cut_to_their_kind() -> None:
    """Google's SDK warns with words of the answer ("… is not a valid FinishReason"): they reach no log."""
    script = f"""
import warnings
from rubydraw import logs
logs.start(level="INFO", project="")
warnings.warn("{CANARY} is not a valid FinishReason")
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "" == said.stderr
    assert {"severity": "WARNING", "message": "library.said", "logger": "py.warnings"} == orjson.loads(said.stdout)


def test_starting_again_does_not_log_twice(lines: Any) -> None:
    """The second start takes the place of the first."""
    logs.start(level="INFO", project="")
    logs.start(level="INFO", project="")
    logs.info("a.b")
    assert len(lines()) == 1


def test_a_log_that_nobody_reads_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe whose reader has gone, or a stream that is closed: the request goes on."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as broken:
        monkeypatch.setattr(sys, "stdout", broken)
        logs.start(level="INFO", project="")
        logs.info("a.b")
        with pytest.raises(BrokenPipeError):
            broken.flush()  # as it would have been raised
        with suppress(BrokenPipeError):
            broken.close()
        logs.info("a.b")


def test_a_trace_is_carried_on_and_linked(lines: Any) -> None:
    """The trace of the caller is the trace of each line, under the project if there is one."""
    logs.start(level="INFO", project="p")
    logs.trace_request(TRACEPARENT)
    assert TRACEPARENT == logs.traceparent()
    assert logs.trace_id() == TRACE
    logs.info("a.b")
    logging.getLogger("httpx2").warning("x")
    expected = {"trace": TRACE, "logging.googleapis.com/trace": f"projects/p/traces/{TRACE}"}
    assert [expected, expected] == [{key: line[key] for key in expected} for line in lines()]


@pytest.mark.parametrize(
    ("sent", "labels"),
    [("s3m1-r4nd0m_x", {"execution_id": "s3m1-r4nd0m_x"}), ("", None), ("x" * 65, None), ("a b", None), ("é", None)],
)
def test_the_platforms_name_of_a_request_is_a_label(lines: Any, sent: str, labels: dict[str, str] | None) -> None:
    """As Cloud Logging groups the lines of one execution; a header that is no such name is left out."""
    logs.start(level="INFO", project="")
    logs.trace_request(TRACEPARENT, sent)
    logs.info("a.b")
    (line,) = lines()
    assert labels == line.get("logging.googleapis.com/labels")


def test_what_the_framework_puts_around_standard_output_is_passed_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """With LOG_EXECUTION_ID it marks what is written while it handles a request, which is the first one alone."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdout", LoggingHandlerAddExecutionId(written))
    logs.start(level="INFO", project="")
    logs.trace_request(TRACEPARENT)
    logs.info("a.b")
    assert f'{{"severity":"INFO","message":"a.b","trace":"{TRACE}"}}\n' == written.getvalue()


def test_without_a_project_the_trace_stands_alone(lines: Any) -> None:
    """On a laptop there is nothing to link to."""
    logs.start(level="INFO", project="")
    logs.trace_request(TRACEPARENT)
    logs.info("a.b")
    assert lines() == [{"severity": "INFO", "message": "a.b", "trace": TRACE}]


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "x",
        TRACEPARENT.upper(),
        TRACEPARENT + "\n",
        TRACEPARENT + "-extra",
        TRACEPARENT.replace("00-", "ff-", 1),
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}\r\nset-cookie: a-01",
    ],
)
def test_a_bad_traceparent_begins_a_new_trace(traceparent: str) -> None:
    """Nothing of it is taken over (W3C Trace Context)."""
    logs.trace_request(traceparent)
    fresh = logs.traceparent()
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", fresh)
    assert fresh == logs.traceparent() != traceparent
    logs.trace_request(traceparent)
    assert fresh != logs.traceparent()


async def test_each_task_has_its_own_trace() -> None:
    """Requests at the same time do not mix their traces."""

    async def request(trace: str) -> str:
        logs.trace_request(f"00-{trace}-b7ad6b7169203331-01")
        await asyncio.sleep(0)
        return logs.trace_id()

    traces = [f"{number:032x}" for number in range(1, 20)]
    assert traces == await asyncio.gather(*map(request, traces))


async def test_a_new_trace_is_that_of_the_tasks_of_its_request_too() -> None:
    """It is drawn when it is first asked for, which may be in a task: all of the request have the same."""

    async def asked() -> str:
        return logs.trace_id()

    logs.trace_request("")
    traces = await asyncio.gather(*(asked() for _ in range(2)))
    assert [logs.trace_id()] * 2 == traces
    assert len(logs.trace_id()) == 32


def test_nothing_is_written_before_the_start() -> None:
    """Importing the package leaves logging as it is."""
    script = "from rubydraw import logs; import logging; print(logging.getLogger().handlers, logs.trace_id() == '')"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "[] True"
