"""How a setting is declared, as a field of a dataclass, and how its text becomes a value or a fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import MISSING, field, fields
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

NEEDED: Any = MISSING
"""Marks a setting that has no default."""

Reader = Callable[[str], Any]
"""Parses a text. Its ValueError reads as a sentence after the name of the setting, and never repeats the text."""

_OPTIONS = {"client_name": ".+", "db": r"\d{1,9}", "password": ".+", "username": ".+"}
_TLS_OPTIONS = {
    **_OPTIONS,
    "ssl_ca_certs": ".+",
    "ssl_cert_reqs": "none|optional|required",
    "ssl_check_hostname": "(?i:true|false|yes|no)",
}
"""The options that may follow the `?` of an address, with the values that redis-py can read. Its other options would
set time-outs and connections, which redis-py does not manage here."""


def setting(read: Reader, default: Any, description: str = "", *, secret: bool = False) -> Any:
    """Return a field whose value `read` parses from a text; a secret one is left out of the repr."""
    return field(default=default, repr=not secret, metadata={"read": read, "description": description})


def read_all(kind: Any, texts: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values of a dataclass of settings, and what is wrong with those that have no value, by field."""
    values, faults = {}, {}
    for each in fields(kind):
        text = texts.get(each.name)
        if text is None and each.default is NEEDED:
            faults[each.name] = "is missing"
            continue
        try:
            values[each.name] = each.default if text is None else each.metadata["read"](text)
        except ValueError as error:
            faults[each.name] = str(error)
    return values, faults


def matching(pattern: str, allowed: str) -> Reader:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(allowed)
        return text

    return read


def one_of(*words: str) -> Reader:
    return matching("|".join(words), f"must be {', '.join(words[:-1])} or {words[-1]}")


def whole(least: int, most: int) -> Reader:
    def read(text: str) -> int:
        with suppress(ValueError):
            if least <= (value := int(text)) <= most:
                return value
        raise ValueError(f"must be a whole number from {least:,} to {most:,}")

    return read


def number(least: float, most: float) -> Reader:
    def read(text: str) -> float:
        with suppress(ValueError):
            if least <= (value := float(text)) <= most:  # as `nan` never is
                return value
        raise ValueError(f"must be a number from {least:,} to {most:,}")

    return read


def ceiling(read: Reader) -> Reader:
    """Accept what `read` accepts, or the word `unlimited` for None; 0 lets nothing through."""

    def read_ceiling(text: str) -> Any:
        try:
            return None if text == "unlimited" else read(text)
        except ValueError as error:
            raise ValueError(f"{error}, or unlimited") from None

    return read_ceiling


def flag(text: str) -> bool:
    said = text.lower()
    if said not in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        raise ValueError("must be true or false")
    return said in ("true", "yes", "on", "1")


def visible(text: str) -> str:
    """Accept what a header can hold, and strip it: files with secrets end in a newline."""
    if not re.fullmatch(r"[!-~]*", text := text.strip()):
        raise ValueError("must be one word of visible ASCII characters")
    return text


def taken_apart(text: str) -> SplitResult | None:
    """Return the parts of an address; None if its host or port is impossible, or it cannot be encoded as UTF-8."""
    try:
        text.encode()
        address = urlsplit(text)
        host, port = address.hostname or "", address.port
        if ":" in host or re.fullmatch(r"\d+(\.\d+){3}", host):
            ip_address(host)
        elif not re.fullmatch(r"([a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?)?", host):
            return None
    except ValueError:
        return None
    return None if port == 0 else address


def http_address(text: str) -> str:
    text = text.strip()
    if not text.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://")
    address = taken_apart(text)
    if not (address and address.hostname and re.fullmatch(r"[!-~]+", text)) or {"?", "#"} & set(text):
        raise ValueError("must look like https://host, optionally with a port from 1 to 65,535 and a path")
    return text.rstrip("/")


def redis_address(text: str) -> str:
    """Accept what redis-py can read: it is imported late, and would tell a caller of a mistake, not the operator."""
    text = text.strip()
    if not text.startswith(("redis://", "rediss://")):
        raise ValueError("must start with redis:// or rediss://")
    address = taken_apart(text)
    if not address or address.fragment or not re.fullmatch(r"/?\d{0,9}/?", address.path):
        raise ValueError(
            "must look like redis://user:password@host:6379/0, with a percent-encoded password (%23 for #, %2F for /)"
        )
    allowed = _TLS_OPTIONS if address.scheme == "rediss" else _OPTIONS
    for option in filter(None, address.query.split("&")):
        name, _, value = option.partition("=")
        if not re.fullmatch(allowed.get(name, "(?!)"), unquote(value)):
            raise ValueError(
                f"allows only these options after a ?: {', '.join(allowed)}, with values that redis-py can read"
            )
    return text


def origins(text: str) -> tuple[str, ...]:
    """Accept exact origins, separated by commas."""
    values = tuple(part.strip() for part in text.split(",") if part.strip())
    for value in values:
        address = taken_apart(value)
        if not (address and address.hostname and re.fullmatch(r"https?://[^/?#@\s]+", value)):
            raise ValueError("must be exact origins such as https://draw.example, separated by commas")
    return values
