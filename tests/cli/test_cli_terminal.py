"""Progress on a terminal: one line that lives and goes away; plain lines, and no escapes, everywhere else."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, Service
from tests.e2e.conftest import ROOT, WAIT_S

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
COLOUR = re.compile(r"\x1b\[[\d;]*[1-9][\d;]*m")


class Terminal:
    """A command in a pseudo-terminal, read as it writes."""

    def __init__(self, cli: Cli, *arguments: object, **environment: str) -> None:
        self._side, inner = pty.openpty()
        self.process = subprocess.Popen(
            cli.command(*arguments),
            cwd=ROOT,
            env=cli.environment | environment,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
            preexec_fn=_own_terminal,
        )
        os.close(inner)
        self.text = ""

    def read_until(self, sought: str) -> None:
        """Read on until this text has come."""
        end_s = time.monotonic() + WAIT_S
        while sought not in self.text:
            assert time.monotonic() < end_s, self.text
            self.text += self._read() or pytest.fail(f"it ended without {sought!r}: {self.text!r}")

    def read_to_end(self) -> int:
        """Read all that is left; the exit status."""
        while some := self._read():
            self.text += some
        os.close(self._side)
        return self.process.wait(WAIT_S)

    def type(self, keys: str) -> None:
        os.write(self._side, keys.encode())

    def _read(self) -> str:
        try:
            return os.read(self._side, 65536).decode(errors="replace")
        except OSError:  # Linux's way to say that the other side is closed
            return ""


def _own_terminal() -> None:
    """Make standard input the controlling terminal, so that Ctrl-C typed there is a signal."""
    os.close(os.open(os.ttyname(0), os.O_RDWR))


def test_live_line_tells_state_attempt_and_time(cli: Cli, service: Service, sketch: Path, drawing: Path) -> None:
    """It is written over and over at one place, and gone at the end; what remains is the result."""
    service.plays(kind="slow", seconds=3)
    terminal = Terminal(cli, "improve", sketch, "-o", drawing, "--watch")
    assert 0 == terminal.read_to_end(), terminal.text
    live, _, remains = terminal.text.rpartition("\x1b[2K")
    assert 2 <= len(set(re.findall(r"running, attempt 1 of 1 [^\r]*? (\d\.\d) s", live)))
    assert 1 == live.count("\n")  # rich's own last one, which is taken back
    assert remains.startswith(f"{drawing}: Redrawn sketch")
    assert [1, 1] == [terminal.text.count(HIDE), terminal.text.count(SHOW)]
    assert COLOUR.search(terminal.text)


def test_no_color(cli: Cli, sketch: Path, drawing: Path) -> None:
    """NO_COLOR takes the colours, not the live line."""
    terminal = Terminal(cli, "improve", sketch, "-o", drawing, "--watch", NO_COLOR="1")
    assert 0 == terminal.read_to_end()
    assert "done, attempt 1 of 1" in terminal.text
    assert COLOUR.search(terminal.text) is None


def test_dumb_terminal(cli: Cli, sketch: Path, drawing: Path) -> None:
    """A terminal that knows no escapes gets plain lines."""
    terminal = Terminal(cli, "improve", sketch, "-o", drawing, "--watch", TERM="dumb")
    assert 0 == terminal.read_to_end()
    assert "done, attempt 1 of 1" in terminal.text
    assert "\x1b" not in terminal.text


def test_pipes_get_no_escapes(cli: Cli, sketch: Path, drawing: Path) -> None:
    """Neither standard output nor standard error has any when it is no terminal, nor has the help."""
    ended = cli.run("improve", sketch, "-o", drawing, "--watch")
    assert "\x1b" not in ended.out + ended.err + cli.run("improve", "--help").out


def test_ctrl_c_in_a_terminal(cli: Cli, service: Service, sketch: Path, drawing: Path) -> None:
    """The live line goes, the cursor comes back, and the sentence names the request id."""
    service.plays(kind="hold")
    terminal = Terminal(cli, "improve", sketch, "-o", drawing, "--watch")
    terminal.read_until("running, attempt 1")
    terminal.type("\x03")
    assert 130 == terminal.read_to_end()
    assert re.search(r"Interrupted; job [0-9a-f-]{36} goes on: follow it", terminal.text)
    assert SHOW in terminal.text
    assert "Traceback" not in terminal.text


def test_sigterm_brings_the_cursor_back(cli: Cli, service: Service, sketch: Path, drawing: Path) -> None:
    """It ends as other programs do, with 143."""
    service.plays(kind="hold")
    terminal = Terminal(cli, "improve", sketch, "-o", drawing)
    terminal.read_until("drawing")
    terminal.process.send_signal(signal.SIGTERM)
    assert 143 == terminal.read_to_end()
    assert SHOW in terminal.text
    assert "Traceback" not in terminal.text
