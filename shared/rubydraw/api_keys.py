"""API keys: random, known here by their SHA-256 alone, each with a name and perhaps an end and limits of its own."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rubydraw.principal import Limits, Principal

PREFIX = "rubydraw_"
"""By which a key is told from a token, and found by those who search for leaked ones."""
KEY_BYTES = 32

Count = Annotated[int, Field(ge=0)]

_ALLOWED = {
    "name": "must be 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit",
    "sha256": "must be 64 lower-case hexadecimal digits",
    "expires": "must be a date such as 2027-01-31",
}


class ApiKey(BaseModel):
    """One entry of `API_KEYS`. A name may have several keys: they are one principal, and one can replace another."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    expires: date | None = None
    """The last day, in UTC, on which it is taken."""
    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    concurrent_jobs: Count | None = None
    calls_per_day: Count | None = None
    dollars_per_day: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @property
    def principal(self) -> Principal:
        owner = f"key:{self.name}"
        limits = Limits(self.requests_per_minute, self.concurrent_jobs, self.calls_per_day, self.dollars_per_day)
        return Principal(owner, owner, limits)

    @property
    def entry(self) -> dict[str, Any]:
        """What stands in `API_KEYS` for it."""
        return self.model_dump(mode="json", exclude_none=True)


class ApiKeys:
    """
    Finds the key that a caller sends.

    It is looked up by its SHA-256, which no caller can steer, and compared in constant time. No salt: there is
    nothing to guess in 256 random bits.
    """

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = {bytes.fromhex(key.sha256): (bytes.fromhex(key.sha256), key, key.principal) for key in keys}

    def find(self, sent: str) -> tuple[ApiKey, Principal] | None:
        """Return the key and whose it is, expired or not."""
        digest = hashlib.sha256(sent.encode()).digest()
        known, key, principal = self._keys.get(digest, (b"", None, None))
        return (key, principal) if hmac.compare_digest(known, digest) and key and principal else None


def expired(key: ApiKey) -> bool:
    return key.expires is not None and datetime.now(UTC).date() > key.expires


def new(name: str, **about: Any) -> tuple[str, ApiKey]:
    """Make a key; return it, which is kept nowhere, and its entry. Raise ValueError in one sentence."""
    key = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    return key, _entry({"name": name, "sha256": hashlib.sha256(key.encode()).hexdigest(), **about})


def read(text: str) -> tuple[ApiKey, ...]:
    """Read `API_KEYS`; raise ValueError, which shows nothing of it."""
    try:
        entries = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ValueError("must be a JSON list of keys, as `python -m cli keys new` writes them") from None
    if not isinstance(entries, list):
        raise ValueError('must be a JSON list: [{"name": …, "sha256": …}, …]')
    keys = []
    for number, entry in enumerate(entries, 1):
        try:
            keys.append(_entry(entry))
        except ValueError as error:
            raise ValueError(f"entry {number}: {error}") from None
    if len({key.sha256 for key in keys}) < len(keys):
        raise ValueError("holds the same sha256 twice")
    return tuple(keys)


def _entry(fields: Any) -> ApiKey:
    try:
        return ApiKey.model_validate(fields)
    except ValidationError as error:
        told = error.errors()[0]
        field = next((str(part) for part in told["loc"] if part in ApiKey.model_fields), "")
        if not field:
            raise ValueError("has a field that no key has, or is no object") from None
        said = _ALLOWED.get(field) or f"{told['msg'][:1].lower()}{told['msg'][1:]}"
        raise ValueError(f"{field} {said}") from None
