"""The laptop's whole service and the sketch pad in front of it, driven in Debian's Chromium."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests.servers import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

ROOT = Path(__file__).parents[2]
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
START_S = 40.0


@dataclass(frozen=True)
class Laptop:
    """Where the parts of one running service are."""

    endpoint: str
    gemini: str
    pad: str

    def plays(self, *faults: Mapping[str, object]) -> None:
        """Give the Gemini stand-in the faults of its next calls, instead of those it has left."""
        httpx2.delete(f"{self.gemini}/faults").raise_for_status()
        httpx2.post(f"{self.gemini}/faults", json=list(faults)).raise_for_status()

    def release(self) -> None:
        """Let the call go on that a `hold` fault keeps waiting, once it has come."""
        wait_for(lambda: httpx2.get(f"{self.gemini}/calls").json()["waiting"] == 1)
        httpx2.post(f"{self.gemini}/release").raise_for_status()


@contextmanager
def running(arguments: Sequence[str], **environment: str) -> Iterator[subprocess.Popen[str]]:
    """One of the emulator's modules as a process with an environment of its own."""
    needed = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=needed | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.terminate()


def parts_of(process: subprocess.Popen[str]) -> dict[str, str]:
    """Names and addresses, as the emulator prints them until it is ready."""
    assert process.stdout is not None
    parts: dict[str, str] = {}
    for line in process.stdout:
        name, _, address = line.partition(" ")
        parts[name] = address.strip()
        if name == "ready":
            return parts
    pytest.fail("the emulator ended before it was ready")


def wait_for(true: Callable[[], bool], limit_s: float = START_S) -> None:
    """Ask until it is so, or fail."""
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        return httpx2.get(url).is_success
    except httpx2.TransportError:
        return False


@pytest.fixture(scope="session")
def laptop() -> Iterator[Laptop]:
    """The emulator, with the pad on a port of its own; calls take a third of a second."""
    port = free_port()
    pad = f"http://127.0.0.1:{port}"
    settings = {"PORT": str(free_port()), "CORS_ORIGINS": pad, "GEMINI_DELAY_S": "0.3"}
    with running(["emulator"], **settings) as emulator:
        parts = parts_of(emulator)
        with running(["emulator.site", "--port", str(port), "--endpoint", parts["ready"]]):
            wait_for(lambda: answers(pad))
            yield Laptop(parts["ready"], parts["gemini"], pad)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for the tests of one file; without Chromium or its driver they skip, and say which is missing.

    No longer than that: its driver keeps an event loop running, beside which no asynchronous test can run.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is absent: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class BreaksOff(BaseHTTPRequestHandler):
    """Closes the connection in the middle of every answer."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("access-control-allow-origin", "*")
        self.send_header("content-length", "1000")
        self.end_headers()
        self.wfile.write(b'{"data": ')

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def breaks_off() -> Iterator[str]:
    """The address of a server whose answers break off; a route may continue there."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BreaksOff) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/graphql"
        server.shutdown()


OpenPad = Callable[..., Any]


def of_the_browser(message: Any) -> bool:
    text: str = message.text
    url: str = message.location["url"]
    if text == "Failed to load resource: net::ERR_CONTENT_LENGTH_MISMATCH":
        return True
    return text.startswith("Failed to load resource: the server responded with a status") and "/graphql" in url


@pytest.fixture
def open_pad(chromium: Browser, laptop: Laptop) -> Iterator[OpenPad]:
    """
    Open the pad as a new visitor; at the end nothing may have been said on any page's console.

    But for what the browser itself says there of every refusal by an endpoint, and of an answer that breaks off.
    """
    contexts: list[BrowserContext] = []
    said: list[str] = []

    def heard(message: Any) -> None:
        if not of_the_browser(message):
            said.append(message.text)

    def opened(prepare: Callable[[Any], None] = lambda page: None, **options: Any) -> Any:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", heard)
        page.on("pageerror", lambda error: said.append(str(error)))
        prepare(page)
        page.goto(laptop.pad)
        page.get_by_role("radio", name="Ink").wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []
