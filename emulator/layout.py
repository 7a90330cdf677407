"""Which parts a laptop runs, at which addresses and with which environment; the shell's variables decide."""

import functools
import itertools
import re
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from emulator import google_pubsub, probe, topics, valkey
from emulator.parts import ROOT, CannotStart, Part

_HOST = "127.0.0.1"
_MACHINE = ("PATH", "HOME", "LANG", "VIRTUAL_ENV")
# Nobody is limited on a laptop, unless calls are billed: then the functions' own ceilings apply.
_LIMITS = ("REQUESTS_PER_MINUTE", "CONCURRENT_JOBS")
_CEILINGS = ("DAILY_CALLS", "DAILY_DOLLARS", "PRINCIPAL_DAILY_CALLS", "PRINCIPAL_DAILY_DOLLARS")
# Settings of the functions that the shell may set under the same name; none of them says where a part is.
_SETTINGS = (
    *("GEMINI_MODEL", "GEMINI_TIMEOUT_S", "SYNC_DEADLINE_S", "WORK_DEADLINE_S", "PUBLISH_TIMEOUT_S"),
    *("LEASE_MS", "HEARTBEAT_MS", "MAX_ATTEMPTS", "JOB_MAX_AGE_S", "MAX_PNG_BYTES", "MAX_IN_FLIGHT"),
    *("LOCAL_ALLOWANCE_PER_MINUTE", "INTROSPECTION", "LOG_LEVEL", "PUBLIC_URL"),
    *("CALL_DOLLARS", "INPUT_DOLLARS_PER_MILLION", "OUTPUT_DOLLARS_PER_MILLION", "TRUSTED_PROXIES"),
    *_LIMITS,
    *_CEILINGS,
    # To try a front end that signs in.
    *("ACCESS", "API_KEYS", "JWT_ISSUER", "JWT_AUDIENCE", "JWT_JWKS_URL", "IMAGE_SIGNING_KEY"),
)
_ARCHIVE = (
    *("ARCHIVE_URL", "ARCHIVE_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"),
    "GOOGLE_APPLICATION_CREDENTIALS",
)
_REAL_GEMINI = ("GEMINI_API_KEY", "GEMINI_MODE", "GEMINI_PROJECT", "GEMINI_LOCATION")
_FUNCTIONS, _STAND_INS, _STORE = range(3)  # the order in which they are ended

Shell = Mapping[str, str]
Placed = tuple[Part, dict[str, str]]
"""A part, and the settings by which the functions find it."""


def layout(shell: Shell) -> list[Part]:
    """All parts, in the order in which they are printed.

    Raises CannotStart for every mistake that is visible before anything runs.
    """
    port, instances = _number(shell, "PORT", 8080, 65534), _number(shell, "INSTANCES", 1, 9)
    if not _free(port):
        raise CannotStart(f"port {port} is in use: end what runs there, or set PORT to another one")
    ports = _free_ports(port + 1)
    pad = next(ports)
    workers = [_url(next(ports)) for _ in range(instances)]
    graphqls = [_url(port), *(_url(next(ports)) for _ in range(instances - 1))]
    placed = [_redis(shell, ports), _pubsub(shell, ports, workers), _gemini(shell, ports)]
    unlimited = _LIMITS if shell.get("GEMINI_API_KEY") else (*_LIMITS, *_CEILINGS)
    environment = (
        _machine(shell)
        | dict.fromkeys(unlimited, "unlimited")
        | {"CORS_ORIGINS": _callers(shell, pad), "INTROSPECTION": "true", "LOG_LEVEL": "INFO", "ACCESS": "off"}
        | {name: shell[name] for name in (*_SETTINGS, *(_ARCHIVE if shell.get("ARCHIVE_URL") else ())) if name in shell}
        | {name: value for _, settings in placed for name, value in settings.items()}
    )
    functions = [
        _function(target, number, url, environment)
        for target, urls in (("worker", workers), ("graphql", graphqls))
        for number, url in enumerate(urls, 1)
    ]
    return [*(part for part, _ in placed), *functions, _pad(_url(pad), graphqls[0], shell)]


def _redis(shell: Shell, ports: Iterator[int]) -> Placed:
    if shell.get("REDIS_URL"):
        settings = {name: shell[name] for name in ("REDIS_URL", "REDIS_CA_CERT") if name in shell}
        return _foreign_redis(shell["REDIS_URL"]), settings
    port = next(ports)
    url = f"redis://{_HOST}:{port}/0"
    answers = functools.partial(valkey.answers, port)
    part = Part("redis", url, answers, valkey.command(port), _machine(shell), stage=_STORE, quiet=True)
    return part, {"REDIS_URL": url}


def _foreign_redis(url: str) -> Part:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 6379
    except ValueError:
        host = ""
    if not _names_a_host(host) or parts.scheme not in ("redis", "rediss"):
        raise CannotStart("REDIS_URL must look like redis://host:6379/0 or rediss://host:6379/0")
    # Shown without user and query: either may hold the password.
    address = f"{parts.scheme}://{host}:{port}{parts.path}"
    return Part("redis", address, functools.partial(probe.accepts_connections, host, port))


def _pubsub(shell: Shell, ports: Iterator[int], workers: Sequence[str]) -> Placed:
    part = _broker(shell, ports, workers)
    settings = {"PUBSUB_TOPIC": topics.TOPIC, "DEAD_LETTER_TOPIC": topics.DEAD_LETTER_TOPIC}
    return part, {"PUBSUB_URL": part.address, **settings}


def _broker(shell: Shell, ports: Iterator[int], workers: Sequence[str]) -> Part:
    """Google's emulator, running already or to be started here, or else the stand-in."""
    if running := shell.get("PUBSUB_EMULATOR_HOST"):
        host, _, port = running.rpartition(":")
        if not (_names_a_host(host) and port.isascii() and port.isdigit() and int(port) < 65536):
            raise CannotStart(f"PUBSUB_EMULATOR_HOST must look like 127.0.0.1:8085, not {running!r}")
        return _googles(f"http://{running}", workers)
    kind, url = shell.get("PUBSUB"), _url(next(ports))
    if kind == "google":
        command, environment = google_pubsub.command(int(_port(url)), shell), _machine(shell, "JAVA_HOME")
        part = _googles(url, workers)
        return replace(part, command=command, environment=environment, stage=_STAND_INS, quiet=True)
    if kind:
        raise CannotStart(f"PUBSUB must be google, or nothing for the stand-in, not {kind!r}")
    prepare = functools.partial(topics.set_up, url, ",".join(f"{worker}/" for worker in workers))
    return _stand_in("pubsub", url, "/stats", _machine(shell), prepare)


def _googles(url: str, workers: Sequence[str]) -> Part:
    prepare = functools.partial(topics.set_up, url, f"{workers[0]}/")
    note = google_pubsub.ONE_WORKER if len(workers) > 1 else ""
    return Part("pubsub", url, functools.partial(probe.answers, url, "/"), prepare=prepare, note=note)


def _gemini(shell: Shell, ports: Iterator[int]) -> Placed:
    if shell.get("GEMINI_API_KEY"):
        settings = {name: shell[name] for name in _REAL_GEMINI if name in shell}
        return Part("gemini", "REAL, billed", _always), {"GEMINI_MODE": "api", **settings}
    url = _url(next(ports))
    delay = {name: shell[name] for name in ("GEMINI_DELAY_S",) if name in shell}
    part = _stand_in("gemini", url, "/calls", _machine(shell) | delay)
    return part, {"GEMINI_MODE": "api", "GEMINI_API_KEY": "laptop", "GEMINI_BASE_URL": url}


def _stand_in(
    name: str,
    url: str,
    path: str,
    environment: Mapping[str, str],
    prepare: Callable[[], Awaitable[None]] | None = None,
) -> Part:
    command = [sys.executable, "-m", f"emulator.{name}", "--port", _port(url)]
    answers = functools.partial(probe.answers, url, path)
    return Part(name, url, answers, command, environment, prepare, _STAND_INS)


def _function(target: str, number: int, url: str, environment: Mapping[str, str]) -> Part:
    framework = Path(sys.executable).with_name("functions-framework")
    if not framework.exists():
        raise CannotStart(f"functions-framework is not installed beside {sys.executable}")
    source = ROOT / "functions" / target / "main.py"
    return Part(
        target if number == 1 else f"{target}-{number}",
        url,
        functools.partial(probe.answers, url, "/up"),
        command=[
            *(str(framework), "--target", target, "--source", str(source)),
            *("--host", _HOST, "--port", _port(url)),
        ],
        environment=environment,
        stage=_FUNCTIONS,
    )


def _pad(url: str, graphql: str, shell: Shell) -> Part:
    command = [sys.executable, "-m", "emulator.site", "--port", _port(url), "--endpoint", f"{graphql}/graphql"]
    return Part("pad", url, functools.partial(probe.answers, url, "/config.json"), command, _machine(shell))


def _names_a_host(text: str) -> bool:
    """Whether the text could be the name or the address of a host."""
    try:
        return bool(text.encode("idna")) and not re.search(r"[\s/?#@]", text)
    except UnicodeError:  # a part of it is empty or too long
        return False


async def _always() -> bool:
    return True


def _machine(shell: Shell, *more: str) -> dict[str, str]:
    """The variables of the shell that any program needs, and no others."""
    needed = {name: shell[name] for name in shell if name in (*_MACHINE, *more) or name.startswith("PYTHON")}
    return {**needed, "PYTHONUNBUFFERED": "1"}


def _number(shell: Shell, name: str, default: int, most: int) -> int:
    text = shell.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
        raise CannotStart(f"{name} must be a number from 1 to {most}, not {text!r}")
    return int(text)


def _callers(shell: Shell, pad: int) -> str:
    """The origins that the shell names, or else those of the usual development servers; and always the sketch pad's."""
    return f"{shell.get('CORS_ORIGINS') or _origins(3000, 5173)},{_origins(pad)}"


def _origins(*ports: int) -> str:
    return ",".join(f"http://{host}:{port}" for port in ports for host in ("localhost", _HOST))


def _url(port: int) -> str:
    return f"http://{_HOST}:{port}"


def _port(url: str) -> str:
    return url.rpartition(":")[2]


def _free_ports(first: int) -> Iterator[int]:
    """Ports that nobody listens on, from `first` upwards."""
    return (port for port in itertools.chain(range(first, 65536), range(20000, first - 2)) if _free(port))


def _free(port: int) -> bool:
    """Whether nobody listens on a port. Raises CannotStart if this user may not listen there."""
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do
        try:
            attempt.bind((_HOST, port))
        except PermissionError:
            raise CannotStart(f"port {port} is only for root: set PORT to 1024 or more") from None
        except OSError:
            return False
    return True
