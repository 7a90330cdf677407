"""API keys: random; only their SHA-256 is kept here, with a name and optionally an expiry date and limits."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import orjson

from rubydraw.principal import Limits, Principal
from rubydraw.setting import NEEDED, matching, number, read_all, setting, whole

PREFIX = "rubydraw_"
"""Tells a key from a token, and lets secret scanners find leaked keys."""
KEY_BYTES = 32


def _day(text: str) -> date:
    with suppress(ValueError):
        return date.fromisoformat(text)
    raise ValueError("must be a date such as 2027-01-31")


_name = matching(
    r"[a-z0-9][a-z0-9._-]{0,62}",
    "must be 1 to 63 characters of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit",
)
_count = whole(0, 1_000_000_000)


@dataclass(frozen=True)
class ApiKey:
    """One entry of `API_KEYS`. Keys with the same name are one principal, so that one key can replace another."""

    name: str = setting(_name, NEEDED)
    sha256: str = setting(matching(r"[0-9a-f]{64}", "must be 64 lower-case hexadecimal digits"), NEEDED, secret=True)
    expires: date | None = setting(_day, None)  # noqa: RUF009 – it is a field
    """The last day, in UTC, on which the key is accepted."""
    requests_per_minute: int | None = setting(whole(1, 1_000_000_000), None)
    concurrent_jobs: int | None = setting(_count, None)
    calls_per_day: int | None = setting(_count, None)
    dollars_per_day: float | None = setting(number(0, 1_000_000), None)

    @property
    def principal(self) -> Principal:
        owner = f"key:{self.name}"
        limits = Limits(self.requests_per_minute, self.concurrent_jobs, self.calls_per_day, self.dollars_per_day)
        return Principal(owner, owner, limits)

    @property
    def entry(self) -> dict[str, Any]:
        """The JSON object that represents this key in `API_KEYS`."""
        said = {name: value for name, value in vars(self).items() if value is not None}
        return said | ({"expires": self.expires.isoformat()} if self.expires else {})


class ApiKeys:
    """
    Finds the key that a caller sends.

    The lookup uses its SHA-256, which no caller can steer, and the comparison takes constant time. A salt is not
    needed: nobody can guess 256 random bits.
    """

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = {bytes.fromhex(key.sha256): (bytes.fromhex(key.sha256), key, key.principal) for key in keys}

    def find(self, sent: str) -> tuple[ApiKey, Principal] | None:
        """Return the key, even if it has expired, and its principal; None if the key is unknown."""
        digest = hashlib.sha256(sent.encode()).digest()
        known, key, principal = self._keys.get(digest, (b"", None, None))
        return (key, principal) if hmac.compare_digest(known, digest) and key and principal else None


def expired(key: ApiKey) -> bool:
    return key.expires is not None and datetime.now(UTC).date() > key.expires


def new(name: str, **about: Any) -> tuple[str, ApiKey]:
    """Make a key; return it and its entry. The key itself is kept nowhere. Raises ValueError with one sentence."""
    key = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    return key, _entry({"name": name, "sha256": hashlib.sha256(key.encode()).hexdigest(), **about})


def read(text: str) -> tuple[ApiKey, ...]:
    """Read `API_KEYS`; raise ValueError, whose message shows none of its values."""
    try:
        entries = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ValueError("must be a JSON list of the entries that `python -m cli keys new` prints") from None
    if not isinstance(entries, list):
        raise ValueError('must be a JSON list: [{"name": …, "sha256": …}, …]')
    keys = []
    for position, entry in enumerate(entries, 1):
        try:
            keys.append(_entry(entry))
        except ValueError as error:
            raise ValueError(f"entry {position}: {error}") from None
    if len({key.sha256 for key in keys}) < len(keys):
        raise ValueError("holds the same sha256 twice")
    return tuple(keys)


def _entry(about: Any) -> ApiKey:
    if not isinstance(about, dict) or about.keys() - ApiKey.__dataclass_fields__.keys():
        raise ValueError(f"must be a JSON object with no other fields than {', '.join(ApiKey.__dataclass_fields__)}")
    values, faults = read_all(ApiKey, {name: str(value) for name, value in about.items() if value is not None})
    for name, fault in faults.items():
        raise ValueError(f"{name} {fault}")
    return ApiKey(**values)
