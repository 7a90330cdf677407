"""The endpoint that the Node programs call, and how they are run."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.functions.tiny_graphql import ORIGIN, TinyService, served

HERE = Path(__file__).parent

Node = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def node() -> Node:
    """Run one of the programs beside this file with its arguments; without Node, skip and say why."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not installed")
    if not (HERE / "node_modules").is_dir():
        pytest.skip("tests/node/node_modules is absent: run npm ci --prefix tests/node")

    def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [program, str(HERE / script), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.fixture(scope="session")
def endpoint_url() -> Iterator[str]:
    """The address of a running endpoint that allows introspection and the origin below."""
    with served(TinyService()) as port:
        yield f"http://127.0.0.1:{port}/graphql"


@pytest.fixture(scope="session")
def origin() -> str:
    """An origin that the endpoint lets in."""
    return ORIGIN
