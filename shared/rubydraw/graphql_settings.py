"""The settings of the GraphQL function: those that both functions have, and who may call it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rubydraw import api_keys
from rubydraw.api_keys import ApiKey
from rubydraw.setting import http_address, matching, one_of, setting, taken_apart, visible
from rubydraw.settings import Settings


def key_set_address(text: str) -> str:
    """Accept an https: address, or an http: one on this machine, with or without a query: some issuers need one."""
    address = taken_apart(text := visible(text))
    host = address.hostname if address else None
    loopback = host in ("127.0.0.1", "localhost", "::1")
    if not (address and host and (address.scheme == "https" or (address.scheme == "http" and loopback))):
        raise ValueError("must start with https:// and a host, or with http:// and localhost, 127.0.0.1 or [::1]")
    return text


@dataclass(frozen=True)
class GraphqlSettings(Settings):
    """Settings that the worker neither needs nor reads: Google's IAM decides who may call the worker."""

    api_keys: tuple[ApiKey, ...] | None = setting(
        api_keys.read,
        None,
        "accepted API keys: a JSON list of the entries that `python -m cli keys new` prints",
        secret=True,
    )
    jwt_issuer: str = setting(str.strip, "", "`iss` of accepted JSON Web Tokens; empty: no tokens are accepted")
    jwt_audience: str = setting(str.strip, "", "`aud` that these tokens must have")
    jwt_jwks_url: str = setting(key_set_address, "", "address of the issuer's keys, a JSON Web Key Set")
    access: Literal["required", "off"] = setting(
        one_of("required", "off"),
        "required",
        "`required` (callers bring a key or a token) or `off` (anybody may spend)",
    )
    image_signing_key: str = setting(
        matching(r"(?s).{32,}", "must have at least 32 characters"),
        "",
        "signs each `imageUrl`, which is then valid for half an hour at most; needed if `ACCESS` is `required`",
        secret=True,
    )
    public_url: str = setting(http_address, "", "what `imageUrl` begins with; empty: the host of the request")

    @staticmethod
    def _unfit(values: Mapping[str, Any]) -> Iterator[str]:
        yield from Settings._unfit(values)
        issuer = values["jwt_issuer"]
        for name in ("jwt_audience", "jwt_jwks_url"):
            if issuer and values.get(name) == "":
                yield f"{name.upper()} is missing (JWT_ISSUER is set)"
            if not issuer and values.get(name):
                yield f"{name.upper()} is set, which also needs JWT_ISSUER"
        if values.get("access") == "required":
            if not issuer and values.get("api_keys", ()) is None:
                yield "ACCESS is required, which needs API_KEYS or JWT_ISSUER (ACCESS=off lets anybody spend)"
            if values.get("image_signing_key") == "":
                yield "IMAGE_SIGNING_KEY is missing (ACCESS is required)"
