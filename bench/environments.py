"""Environments of the peers: one each, below build/, made once from pinned requirements."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.servers import ROOT

PEERS = ROOT / "bench/peers"
BUILD = ROOT / "build/bench"


def python(name: str) -> Path:
    """Return the folder of the programs of a peer's virtual environment."""
    requirements = PEERS / f"requirements/{name}.txt"

    def make(folder: Path) -> None:
        _run(sys.executable, "-m", "venv", str(folder))
        pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run(*pip, "--no-deps", "--requirement", str(requirements))

    return _made(name, requirements.read_bytes() + sys.version.encode(), make) / "bin"


def node(name: str) -> Path:
    """Return the folder of a Node peer, its packages beside its programs."""
    files = [PEERS / f"{name}.mjs", PEERS / f"requirements/{name}/package.json"]
    lock = PEERS / f"requirements/{name}/package-lock.json"

    def make(folder: Path) -> None:
        folder.mkdir(parents=True)
        for file in (*files, lock):
            shutil.copy(file, folder)
        _run("npm", "ci", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder))

    return _made(name, b"".join(file.read_bytes() for file in (*files, lock)), make)


def _made(name: str, pinned: bytes, make: Callable[[Path], None]) -> Path:
    """Make a folder, unless it is complete and was made from the same pins and Python."""
    folder, stamp = BUILD / name, BUILD / f"{name}.sha256"
    digest = hashlib.sha256(pinned).hexdigest()
    if not (stamp.exists() and stamp.read_text() == digest):
        print(f"setting up {name} (once)", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        BUILD.mkdir(parents=True, exist_ok=True)
        make(folder)
        stamp.write_text(digest)
    return folder


def _run(*command: str) -> None:
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{ended.stdout}{ended.stderr}")
