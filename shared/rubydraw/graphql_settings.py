"""The settings of the function that faces callers: those of both functions, and who may call."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from rubydraw import api_keys
from rubydraw.api_keys import ApiKey
from rubydraw.settings import HttpUrl, Settings


def _keys(value: Any) -> Any:
    return api_keys.read(value) if isinstance(value, str) else value


def _with_issuer(value: str, info: ValidationInfo) -> str:
    issuer = info.data.get("jwt_issuer")
    if issuer and not value:
        raise ValueError("is missing (JWT_ISSUER is set)")
    if issuer == "" and value:
        raise ValueError("needs JWT_ISSUER beside it")
    return value


def _fetched_safely(value: str) -> str:
    try:
        address = urlsplit(value)
        host = address.hostname
    except ValueError:
        host = None
    loopback = host in ("127.0.0.1", "localhost", "::1")
    if value and not (host and (address.scheme == "https" or (address.scheme == "http" and loopback))):
        raise ValueError("must start with https://")
    return value


def _somebody(value: str, info: ValidationInfo) -> str:
    known = [info.data.get("api_keys", ()), info.data.get("jwt_issuer", "?")]
    if value == "required" and known == [None, ""]:
        raise ValueError("required needs API_KEYS or JWT_ISSUER, which say who may call; off lets anybody spend")
    return value


def _signs(value: str, info: ValidationInfo) -> str:
    if not value and info.data.get("access") == "required":
        raise ValueError("is missing (ACCESS is required)")
    if value and len(value) < 32:
        raise ValueError("must have at least 32 characters")
    return value


class GraphqlSettings(Settings):
    """Settings that the worker neither needs nor gets: Google's IAM decides who calls it."""

    api_keys: Annotated[tuple[ApiKey, ...] | None, BeforeValidator(_keys)] = Field(
        None, description="keys that may call: a JSON list of what `python -m cli keys new` writes", repr=False
    )
    jwt_issuer: str = Field("", description="`iss` of the JSON Web Tokens that may call; empty: none may")
    jwt_audience: Annotated[str, AfterValidator(_with_issuer)] = Field("", description="`aud` that they must have")
    jwt_jwks_url: Annotated[str, AfterValidator(_fetched_safely), AfterValidator(_with_issuer)] = Field(
        "", description="where their issuer publishes its keys, as a JSON Web Key Set"
    )
    access: Annotated[Literal["required", "off"], AfterValidator(_somebody)] = Field(
        "required", description="`required` (callers bring a key or a token) or `off` (anybody may spend)"
    )
    image_signing_key: Annotated[str, AfterValidator(_signs)] = Field(
        "", description="signs each `imageUrl` for half an hour; needed where access is required", repr=False
    )
    public_url: HttpUrl = Field("", description="what `imageUrl` begins with; empty: the host that the request names")
