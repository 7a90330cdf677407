"""Turns the one credential of a request into a principal, or refuses the request without telling the client why."""

from __future__ import annotations

import functools
import math
import re

from client_address import client_address
from incoming import Incoming
from key_set import KeySet
from refusal import Refused
from rubydraw import logs
from rubydraw.api_keys import PREFIX, ApiKeys, expired
from rubydraw.errors import RateLimited
from rubydraw.graphql_settings import GraphqlSettings
from rubydraw.limits.quotas import Quotas
from rubydraw.principal import Principal
from tokens import BadCredential, Tokens

MAX_CREDENTIAL_CHARS = 8192

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE | re.ASCII)  # RFC 6750


class Unauthenticated(Refused):
    """The credential is missing or not accepted; only the log says why."""

    def __init__(self) -> None:
        super().__init__(401, "Authentication is needed.", {"www-authenticate": "Bearer"}, code="UNAUTHENTICATED")


class TooManyFailures(Refused):
    """Too many failed authentications from one address."""

    def __init__(self, limited: RateLimited) -> None:
        wait_s = str(math.ceil(limited.retry_after_s or 1))
        super().__init__(429, limited.message, {"retry-after": wait_s}, code=limited.code)


@functools.lru_cache(maxsize=1_000)
def _nobody_at(address: str) -> Principal:
    return Principal(account=f"address:{address}")


class Access:
    """Identifies the caller by the `Authorization` header, before the body of a request is read."""

    def __init__(self, settings: GraphqlSettings, quotas: Quotas) -> None:
        self._quotas, self._trusted_proxies = quotas, settings.trusted_proxies
        self._off = settings.access == "off"
        self._keys = ApiKeys(settings.api_keys or ())
        self._tokens: Tokens | None = None
        if settings.jwt_issuer:
            self._tokens = Tokens(settings.jwt_issuer, settings.jwt_audience, KeySet(settings.jwt_jwks_url))

    async def principal(self, incoming: Incoming) -> Principal:
        """
        Return the caller; raise Unauthenticated or TooManyFailures, or Unavailable if the credential cannot be checked.

        With access off every caller is anonymous, and counted by address.
        """
        if self._off:
            return _nobody_at(client_address(incoming, self._trusted_proxies))
        try:
            return await self._of(incoming.header(b"authorization"))
        except BadCredential as bad:
            logs.info("access.refused", reason=bad.reason)
            await self._count_failure(client_address(incoming, self._trusted_proxies))
            raise Unauthenticated from None

    async def _count_failure(self, address: str) -> None:
        try:
            await self._quotas.failed_authentication(address)
        except RateLimited as limited:
            raise TooManyFailures(limited) from None

    async def _of(self, sent: str | None) -> Principal:
        if sent is None:
            raise BadCredential("none")
        bearer = _BEARER.fullmatch(sent) if len(sent) <= MAX_CREDENTIAL_CHARS else None
        if bearer is None:
            raise BadCredential("malformed")
        credential = bearer.group(1)
        if credential.startswith(PREFIX):
            return self._holder(credential)
        if self._tokens is None:
            raise BadCredential("unknown_key")
        subject = f"user:{await self._tokens.subject(credential)}"
        return Principal(subject, subject)

    def _holder(self, credential: str) -> Principal:
        found = self._keys.find(credential)
        if found is None:
            raise BadCredential("unknown_key")
        key, principal = found
        if expired(key):
            raise BadCredential("expired_key")
        return principal
