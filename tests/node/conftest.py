"""The endpoint that the Node programs call, and how they are run."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import laptop

HERE = Path(__file__).parent

Node = Callable[..., subprocess.CompletedProcess[str]]


def node_program() -> str:
    """The path of Node; without it, or without the packages, skip and say why."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not installed")
    if not (HERE / "node_modules").is_dir():
        pytest.skip("tests/node/node_modules is absent: run npm ci --prefix tests/node")
    return program


@pytest.fixture(scope="session")
def node() -> Node:
    """Run one of the programs beside this file with its arguments."""
    program = node_program()

    def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [program, str(HERE / script), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.fixture(scope="session")
def endpoint_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a running laptop, which allows introspection and the origin below."""
    with laptop(tmp_path_factory.mktemp("laptop")) as running:
        yield running.endpoint


@pytest.fixture(scope="session")
def origin() -> str:
    """An origin that the laptop lets in."""
    return "http://localhost:3000"
