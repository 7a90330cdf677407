"""A bundle as Cloud Run would have it: unpacked, its requirements installed, booted as the buildpack does."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

from emulator.lifeline import die_with_parent
from tests.servers import free_port

RUNTIME = "python3.13"
START_S = 60.0
"""A cold start with nothing compiled yet, on a busy machine."""


def interpreter() -> str:
    """Return the runtime's Python where there is one, else the one that runs the tests."""
    found = shutil.which(RUNTIME)
    works = found and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0
    return found if found and works else sys.executable


def unpack(bundle: Path, folder: Path) -> Path:
    """Unzip a bundle into the empty `folder` and install what it asks for beside it; return the environment's `bin`."""
    with zipfile.ZipFile(bundle) as opened:
        opened.extractall(folder)
    environment = folder.with_name(f"{folder.name}-venv")
    subprocess.run([interpreter(), "-m", "venv", environment], check=True)
    subprocess.run(
        [environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--require-hashes", "-r", folder / "requirements.txt"], check=True,
    )  # fmt: skip
    return environment / "bin"


@contextmanager
def running(
    command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], port: int, log: Path | None = None
) -> Iterator[str]:
    """Run a server until the end of the block, once it accepts connections on `port`; yield its address."""
    log = log or cwd / f"{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=cwd, env=dict(env), stdout=output, stderr=output, start_new_session=True,
            preexec_fn=die_with_parent(),
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_S
        while not _accepts(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def booted(target: str, folder: Path, bin_folder: Path, settings: Mapping[str, str]) -> Iterator[str]:
    """
    Run the buildpack's entry point, literally `functions-framework`, with the variables that the platform sets.

    What it logs is kept beside the folder (`log_of`).
    """
    port = free_port()
    platform = {
        "FUNCTION_SIGNATURE_TYPE": "http",
        "FUNCTION_TARGET": target,
        "HOST": "127.0.0.1",
        "K_CONFIGURATION": target,
        "K_REVISION": f"{target}-00001-abc",
        "K_SERVICE": target,
        "LOG_EXECUTION_ID": "true",
        "PATH": f"{bin_folder}:/usr/bin:/bin",
        "PORT": str(port),
        "PYTHONUNBUFFERED": "TRUE",
    }
    command = [bin_folder / "functions-framework"]
    with tempfile.TemporaryDirectory() as home:  # its own, as a container's is
        environment = {**platform, "HOME": home, **settings}
        with running(command, cwd=folder, env=environment, port=port, log=log_of(folder)) as url:
            assert httpx2.get(f"{url}/up").json() == {"up": True}
            yield url


def log_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.log")


def _accepts(port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex(("127.0.0.1", port)) == 0
