"""Who is measured: this service, the ceilings, and its peers, each started as its users start it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import environments
from bench.environments import PEERS
from bench.servers import ALLOCATOR, ROOT, UNLIMITED

SERVICE, CEILING, PARSED, BARE = "this service", "bare Starlette", "bare, parse + hash", "bare function"
FLASK, STRAWBERRY, ARIADNE, YOGA = "Flask, graphql-core", "Strawberry, FastAPI", "Ariadne", "GraphQL Yoga"
CEILINGS = (CEILING, PARSED, BARE)
PEERS_BY_NAME = (FLASK, STRAWBERRY, ARIADNE, YOGA)
SCHEMA = ROOT / "functions/graphql/schema.graphql"


@dataclass(frozen=True, slots=True)
class Contender:
    """`command` makes the command line that listens on a port; `environment` is added to the addresses that all get."""

    name: str
    command: Callable[[int], list[str]]
    environment: dict[str, str]


def contenders(names: tuple[str, ...]) -> list[Contender]:
    """Return the contenders of these names, and set up their environments."""
    return [_MAKERS[name]() for name in names]


def function(bin_: Path, target: str, source: Path) -> Callable[[int], list[str]]:
    """Make the command line of a function, as the platform starts it."""
    words = [str(bin_ / "functions-framework"), "--target", target, "--source", str(source), "--host", "127.0.0.1"]
    return lambda port: [*words, "--port", str(port)]


def own_bin() -> Path:
    return Path(sys.executable).parent


def _service() -> Contender:
    source = ROOT / "functions/graphql/main.py"
    return Contender(SERVICE, function(own_bin(), "graphql", source), {"ACCESS": "off", **UNLIMITED, **ALLOCATOR})


def _ceiling(name: str) -> Contender:
    words = [str(own_bin() / "gunicorn"), "--workers", "1", "--worker-class", "uvicorn_worker.UvicornWorker"]
    words += ["--chdir", str(PEERS)]
    return Contender(name, lambda port: [*words, "--bind", f"127.0.0.1:{port}", "ceiling:app"], ALLOCATOR)


def _bare() -> Contender:
    return Contender(BARE, function(own_bin(), "bare", PEERS / "bare_function.py"), ALLOCATOR)


def _flask() -> Contender:
    source = PEERS / "flask_graphql.py"
    return Contender(FLASK, function(environments.python("flask"), "graphql", source), {"SCHEMA": str(SCHEMA)})


def _uvicorn(name: str, environment: str, module: str) -> Contender:
    words = [str(environments.python(environment) / "uvicorn"), "--app-dir", str(PEERS), "--no-access-log"]
    return Contender(name, lambda port: [*words, "--port", str(port), f"{module}:app"], {"SCHEMA": str(SCHEMA)})


def _yoga() -> Contender:
    program = environments.node("yoga") / "yoga.mjs"
    return Contender(YOGA, lambda port: ["env", f"PORT={port}", "node", str(program)], {"SCHEMA": str(SCHEMA)})


_MAKERS: dict[str, Callable[[], Contender]] = {
    SERVICE: _service,
    CEILING: lambda: _ceiling(CEILING),
    PARSED: lambda: _ceiling(PARSED),
    BARE: _bare,
    FLASK: _flask,
    STRAWBERRY: lambda: _uvicorn(STRAWBERRY, "strawberry", "strawberry_fastapi"),
    ARIADNE: lambda: _uvicorn(ARIADNE, "ariadne", "ariadne_asgi"),
    YOGA: _yoga,
}
