"""The settings: everything that may differ between two deployments, read once from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo


class BadSettings(ValueError):
    """The environment cannot be used; the text names every bad variable at once and never shows a value."""


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _redis_url(value: str) -> str:
    if value and not value.startswith(("redis://", "rediss://")):
        raise ValueError("must start with redis:// or rediss://")
    return value


def _http_url(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://")
    return value.rstrip("/")


def _origin(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not value.startswith(("http://", "https://")) or value.count("/") != 2 or "*" in value:
            raise ValueError("must be exact origins such as https://draw.example, separated by commas")
    return values


def _ceiling(value: Any) -> Any:
    return None if value == "unlimited" else value


def _needed_in(*modes: str) -> AfterValidator:
    def check(value: str, info: ValidationInfo) -> str:
        if (mode := info.data.get("gemini_mode")) in modes and not value:
            raise ValueError(f"is missing (GEMINI_MODE is {mode})")
        return value

    return AfterValidator(check)


def _twice_in_a_lease(value: int, info: ValidationInfo) -> int:
    if value * 2 > info.data.get("lease_ms", value * 2):
        raise ValueError("must be at most half of LEASE_MS")
    return value


def _archive_url(value: str) -> str:
    if value and not re.fullmatch(r"(gs|s3)://[a-z0-9][a-z0-9._-]+(/\w[\w.=-]*)*/?|file://(/[^/]+)+/?", value):
        raise ValueError("must look like gs://bucket/prefix, s3://bucket/prefix or file:///folder")
    return value


RedisUrl = Annotated[str, AfterValidator(_redis_url)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Topic = Annotated[str, Field(pattern=r"^(projects/[^/\s]+/topics/[^/\s]+)?$")]
Seconds = Annotated[float, Field(gt=0, le=3600)]
Count = Annotated[Annotated[int, Field(ge=0, le=1_000_000_000)] | None, BeforeValidator(_ceiling)]
"""A ceiling; the word `unlimited` stands for none, 0 for nothing at all."""
Dollars = Annotated[Annotated[float, Field(ge=0, le=1_000_000)] | None, BeforeValidator(_ceiling)]
Price = Annotated[float, Field(ge=0, le=10_000)]


class Settings(BaseModel):
    """Every setting, its unit, default and meaning; `docs/reference.md` is generated from here."""

    # Defaults are checked too: whether a key may be empty depends on the mode, which stands before it.
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, validate_default=True)

    redis_url: RedisUrl = Field(description="Redis that holds jobs, flights and updates", repr=False)
    cache_redis_url: RedisUrl = Field("", description="Redis that holds results; empty: `REDIS_URL`", repr=False)
    redis_ca_cert: str = Field("", description="PEM certificates that a `rediss:` address is checked against")
    pubsub_url: HttpUrl = Field(
        "https://pubsub.googleapis.com", description="where to publish; with `http:` no access token is sent"
    )
    pubsub_topic: Topic = Field("", description="topic of the jobs, `projects/P/topics/T`; empty: no background jobs")
    dead_letter_topic: Topic = Field("", description="topic for jobs given up; empty: they are logged only")
    archive_url: Annotated[str, AfterValidator(_archive_url)] = Field(
        "",
        description="where drawings are kept for good: `gs://bucket/prefix`, `s3://bucket/prefix` or `file:///folder`,"
        " with ambient credentials; empty: nowhere",
    )
    archive_endpoint: HttpUrl = Field("", description="another address of that store; empty: Google's or Amazon's")
    gemini_mode: Literal["api", "vertex", "express"] = Field(
        "api", description="`api` (Gemini API key), `vertex` (ambient credentials) or `express` (Vertex express key)"
    )
    gemini_api_key: Annotated[str, _needed_in("api", "express")] = Field(
        "", description="key for the modes `api` and `express`", repr=False
    )
    gemini_base_url: HttpUrl = Field("", description="another address for Gemini; empty: Google's")
    gemini_model: str = Field("gemini-3.1-flash-image", min_length=1, description="image model; part of the digest")
    gemini_project: Annotated[str, _needed_in("vertex")] = Field(
        "", description="Google Cloud project for the mode `vertex`"
    )
    gemini_location: str = Field("global", min_length=1, description="location for the mode `vertex`")
    gemini_timeout_s: Seconds = Field(120, description="longest call to Gemini")
    sync_deadline_s: Seconds = Field(150, description="longest synchronous request")
    work_deadline_s: Seconds = Field(180, description="longest delivery of one job")
    lease_ms: int = Field(30_000, ge=100, le=600_000, description="how long a job or a flight is held unless renewed")
    heartbeat_ms: Annotated[int, AfterValidator(_twice_in_a_lease)] = Field(
        10_000, ge=20, le=300_000, description="how often a held job or flight is renewed"
    )
    max_attempts: int = Field(3, ge=1, le=10, description="calls to Gemini that one job may cost")
    job_max_age_s: int = Field(3600, ge=1, le=86_400, description="age at which an unsettled job becomes `EXPIRED`")
    publish_timeout_s: Seconds = Field(8, description="longest publish, retries included")
    max_png_bytes: int = Field(5 * 1024 * 1024, ge=1024, le=7 * 1024 * 1024, description="largest sketch")
    max_in_flight: int = Field(
        250, ge=1, le=1000, description="calls to Gemini at once per instance; 1 GiB holds 250 sketches of 1 MiB"
    )
    local_allowance_per_minute: int = Field(
        10, ge=0, le=10_000, description="calls to Gemini per minute and instance while Redis cannot be reached"
    )
    daily_calls: Count = Field(500, description="calls to Gemini in a UTC day; 0: none; `unlimited`: no ceiling")
    daily_dollars: Dollars = Field(50.0, description="what they may cost, likewise")
    principal_daily_calls: Count = Field(100, description="calls in a UTC day on one caller's account, likewise")
    principal_daily_dollars: Dollars = Field(10.0, description="what they may cost, likewise")
    call_dollars: Price = Field(
        0.15, description="what a call may cost at most: reserved before it, replaced by its usage after it"
    )
    input_dollars_per_million: Price = Field(0.5, description="price of a million input tokens")
    output_dollars_per_million: Price = Field(60.0, description="price of a million output tokens")
    requests_per_minute: Count = Field(
        60, description="requests of one caller, each cached answer a tenth of one; `unlimited`: no limit"
    )
    concurrent_jobs: Count = Field(
        20, description="background jobs of one caller that are not settled; `unlimited`: no limit"
    )
    trusted_proxies: int = Field(
        1,
        ge=0,
        le=10,
        description="entries of `X-Forwarded-For` that proxies of ours append: Cloud Run 1, behind a load balancer 2",
    )
    cors_origins: Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_origin)] = Field(
        (), description="exact origins of browsers that may call, separated by commas"
    )
    introspection: bool = Field(False, description="whether the GraphQL schema may be read")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least severity that is logged")

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the settings from `env`; an empty variable means its default. Raise BadSettings naming all bad ones."""
        given = {name: env[name.upper()] for name in cls.model_fields if env.get(name.upper())}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise BadSettings("Settings that cannot be used: " + "; ".join(map(_told, error.errors()))) from None

    @property
    def results_url(self) -> str:
        return self.cache_redis_url or self.redis_url

    @property
    def project(self) -> str:
        """The Google Cloud project, which the topics name; empty when there are none."""
        topic = self.pubsub_topic or self.dead_letter_topic
        return topic.split("/")[1] if topic else self.gemini_project


def _told(error: Any) -> str:
    name, text = str(error["loc"][0]).upper(), error["msg"].removeprefix("Value error, ")
    if error["type"] == "missing":
        text = "is missing"
    return f"{name} {text}" if text.startswith("is missing") else f"{name}: {text[:1].lower()}{text[1:]}"
