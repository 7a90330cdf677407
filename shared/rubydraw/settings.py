"""The settings: everything that may differ between two deployments, read once from the environment."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

from rubydraw.setting import (
    NEEDED,
    ceiling,
    flag,
    http_address,
    matching,
    number,
    one_of,
    origins,
    read_all,
    redis_address,
    setting,
    visible,
    whole,
)


class BadSettings(ValueError):
    """The environment cannot be used; the text names every bad variable at once and never shows a value."""


topic_name = matching(
    r"projects/[A-Za-z0-9.:-]+/topics/[A-Za-z][A-Za-z0-9._~+%-]{2,254}",
    "must look like projects/P/topics/T, where T is 3 to 255 letters, digits and -._~+%, beginning with a letter",
)
archive_address = matching(
    r"(gs|s3)://[a-z0-9][a-z0-9._-]+(/\w[\w.=-]*)*/?|file://(/[^/]+)+/?",
    "must look like gs://bucket/prefix, s3://bucket/prefix or file:///folder",
)
MOST_PNG_BYTES = 6_700_000
"""Beside the longest svg and hints, in which JSON escapes each quote to two bytes, a PNG of this size still fits into a
message of 10 MB in base64, and so does its dead letter."""
count = ceiling(whole(0, 1_000_000_000))
dollars = ceiling(number(0, 1_000_000))
price = number(0, 10_000)


def seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 < (value := float(text)) <= 3600:
            return value
    raise ValueError("must be a number above 0, up to 3,600")


@dataclass(frozen=True)
class Settings:
    """Every setting, its unit, default and meaning; `docs/reference.md` is generated from here."""

    redis_url: str = setting(redis_address, NEEDED, "Redis that holds jobs, flights and updates", secret=True)
    cache_redis_url: str = setting(redis_address, "", "Redis that holds results; empty: `REDIS_URL`", secret=True)
    redis_ca_cert: str = setting(str, "", "PEM certificates that a `rediss:` address is checked against")
    pubsub_url: str = setting(
        http_address, "https://pubsub.googleapis.com", "where to publish; with `http:` no access token is sent"
    )
    pubsub_topic: str = setting(topic_name, "", "topic of the jobs, `projects/P/topics/T`; empty: no background jobs")
    dead_letter_topic: str = setting(topic_name, "", "topic for jobs that were given up; empty: only logged")
    archive_url: str = setting(
        archive_address,
        "",
        "where drawings are kept for good: `gs://bucket/prefix`, `s3://bucket/prefix` or `file:///folder`,"
        " with ambient credentials; empty: no archive",
    )
    archive_endpoint: str = setting(http_address, "", "address of the archive's store; empty: Google's or Amazon's")
    gemini_mode: Literal["api", "vertex", "express"] = setting(
        one_of("api", "vertex", "express"),
        "api",
        "`api` (Gemini API key), `vertex` (ambient credentials) or `express` (Vertex express key)",
    )
    gemini_api_key: str = setting(visible, "", "key for the modes `api` and `express`", secret=True)
    gemini_base_url: str = setting(http_address, "", "address of the Gemini API; empty: Google's")
    gemini_model: str = setting(str.strip, "gemini-3.1-flash-image", "image model; part of a sketch's digest")
    gemini_project: str = setting(str.strip, "", "Google Cloud project for the mode `vertex`")
    gemini_location: str = setting(str.strip, "global", "location for the mode `vertex`")
    gemini_timeout_s: float = setting(seconds, 120, "longest call to Gemini")
    sync_deadline_s: float = setting(seconds, 150, "longest synchronous request")
    work_deadline_s: float = setting(seconds, 180, "longest delivery of one job")
    lease_ms: int = setting(whole(100, 600_000), 30_000, "how long a job or a flight is held unless it is renewed")
    heartbeat_ms: int = setting(whole(20, 300_000), 10_000, "how often a held job or flight is renewed")
    max_attempts: int = setting(
        whole(1, 10), 3, "calls to Gemini that one job may cost, besides those that a stopping instance cuts off"
    )
    job_max_age_s: int = setting(whole(1, 86_400), 3600, "age at which an unsettled job becomes `EXPIRED`")
    publish_timeout_s: float = setting(seconds, 8, "longest publish, retries included")
    max_png_bytes: int = setting(
        whole(1024, MOST_PNG_BYTES), 5 * 1024 * 1024, f"largest sketch, at most {MOST_PNG_BYTES:,}"
    )
    max_in_flight: int = setting(
        whole(1, 1000), 250, "simultaneous calls to Gemini per instance; 1 GiB holds 250 of them with sketches of 1 MiB"
    )
    local_allowance_per_minute: int = setting(
        whole(0, 10_000), 10, "calls to Gemini per minute and instance while Redis is away or full"
    )
    daily_calls: int | None = setting(
        count, 500, "calls to Gemini in a UTC day, for all callers; 0: none; `unlimited`: no ceiling"
    )
    daily_dollars: float | None = setting(
        dollars, 50.0, "dollars that these calls may cost; 0: no calls; `unlimited`: no ceiling"
    )
    principal_daily_calls: int | None = setting(
        count, 100, "calls to Gemini in a UTC day, for one caller; 0: none; `unlimited`: no ceiling"
    )
    principal_daily_dollars: float | None = setting(
        dollars, 10.0, "dollars that one caller's calls may cost; 0: no calls; `unlimited`: no ceiling"
    )
    call_dollars: float = setting(
        price, 0.15, "dollars that one call may cost at most: reserved before it, replaced by its actual cost after it"
    )
    input_dollars_per_million: float = setting(price, 0.5, "price of a million input tokens, in dollars")
    output_dollars_per_million: float = setting(price, 60.0, "price of a million output tokens, in dollars")
    requests_per_minute: int | None = setting(
        count, 60, "requests of one caller in a minute; a cached answer counts as a tenth; `unlimited`: no limit"
    )
    concurrent_jobs: int | None = setting(
        count, 20, "unsettled background jobs that one caller may have; `unlimited`: no limit"
    )
    trusted_proxies: int = setting(
        whole(0, 10),
        1,
        "how many entries our own proxies append to `X-Forwarded-For`: 1 on Cloud Run, 2 behind a load balancer",
    )
    cors_origins: tuple[str, ...] = setting(origins, (), "exact origins of pages that may call, separated by commas")
    introspection: bool = setting(flag, False, "whether clients may read the GraphQL schema")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = setting(
        one_of("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "lowest severity that is logged"
    )

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the settings from `env`; an empty variable means its default. Raise BadSettings naming all bad ones."""
        given = {field.name: text for field in fields(cls) if (text := env.get(field.name.upper()))}
        values, faults = read_all(cls, given)
        told = [f"{name.upper()} {fault}" for name, fault in faults.items()] + list(cls._unfit(values))
        if told:
            raise BadSettings("Settings that cannot be used: " + "; ".join(told))
        return cls(**values)

    @staticmethod
    def _unfit(values: Mapping[str, Any]) -> Iterator[str]:
        """Yield which settings do not fit together; one that cannot be read is not among the values."""
        mode = values.get("gemini_mode")
        if mode in ("api", "express") and values.get("gemini_api_key") == "":
            yield f"GEMINI_API_KEY is missing (GEMINI_MODE is {mode})"
        if mode == "vertex" and not values["gemini_project"]:
            yield "GEMINI_PROJECT is missing (GEMINI_MODE is vertex)"
        if values.get("heartbeat_ms", 0) * 2 > values.get("lease_ms", math.inf):
            yield "HEARTBEAT_MS must be at most half of LEASE_MS"

    @property
    def results_url(self) -> str:
        return self.cache_redis_url or self.redis_url

    @property
    def project(self) -> str:
        """The Google Cloud project: the one that a topic names, or without topics `gemini_project`; may be empty."""
        topic = self.pubsub_topic or self.dead_letter_topic
        return topic.split("/")[1] if topic else self.gemini_project
