"""JSON Web Tokens of one issuer: checked as RFC 8725 asks, by PyJWT, which is loaded at the first token."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from key_set import ALGORITHMS, KeySet

if TYPE_CHECKING:
    from jwt import PyJWK

LEEWAY_S = 60
MAX_SUBJECT_CHARS = 255  # OpenID Connect's own bound
REMEMBERED = 1000
"""How many checked tokens are kept until they expire: checking a signature costs a fifth of a cached answer."""
_OPTIONS = {"require": ["exp", "iss", "aud", "sub"], "enforce_minimum_key_length": True}


class BadCredential(Exception):
    """A credential that is not accepted; `reason` is a word of ours or the name of PyJWT's exception."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Checked(NamedTuple):
    subject: str
    ends_s: int
    key: PyJWK


class Tokens:
    """Checks tokens. A token's `kid` only selects one of the issuer's keys; it is never a path or an address."""

    def __init__(self, issuer: str, audience: str, keys: KeySet, *, clock: Callable[[], float] = time.time) -> None:
        self._issuer, self._audience, self._keys, self._clock = issuer, audience, keys, clock
        self._jwt: Any = None
        self._checked: dict[bytes, _Checked] = {}

    async def subject(self, token: str) -> str:
        """Return the subject of a token; raise BadCredential, or Unavailable if its key cannot be fetched."""
        digest = hashlib.sha256(token.encode()).digest()
        known = self._checked.get(digest)
        # It must not have expired since, and its key must be the same object: keys that are fetched again are new ones.
        if known and self._clock() < known.ends_s and await self._keys.find(known.key.key_id) is known.key:
            return known.subject
        checked = await self._check(token)
        if len(self._checked) >= REMEMBERED:
            del self._checked[next(iter(self._checked))]
        self._checked[digest] = checked
        return checked.subject

    async def _check(self, token: str) -> _Checked:
        if self._jwt is None:
            self._jwt = await asyncio.to_thread(importlib.import_module, "jwt")  # on the event loop it would block
        try:
            header = self._jwt.get_unverified_header(token)
            alg = header.get("alg")
            key = await self._keys.find(header.get("kid")) if isinstance(alg, str) and alg in ALGORITHMS else None
            if key is None:
                raise BadCredential("unknown_key")
            # The algorithm is the key's own, not what the token says.
            claims = self._jwt.decode(
                token, key, algorithms=[key.algorithm_name], audience=self._audience, issuer=self._issuer,
                leeway=LEEWAY_S, options=_OPTIONS,
            )  # fmt: skip
        except self._jwt.PyJWTError as error:
            raise BadCredential(type(error).__name__) from None
        subject = claims["sub"]
        if not (0 < len(subject) <= MAX_SUBJECT_CHARS and subject.isascii() and subject.isprintable()):
            raise BadCredential("bad_subject")
        return _Checked(subject, int(claims["exp"]) + LEEWAY_S, key)
