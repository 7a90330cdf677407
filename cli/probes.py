"""Asks whether the services that the settings name are there: Redis, the archive, the topics, Gemini; costs nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from rubydraw.authorization import Authorization
from rubydraw.errors import Misconfigured, SketchError
from rubydraw.settings import Settings

if TYPE_CHECKING:
    from google.genai.errors import APIError

WITHIN_S = 15.0
NO_CREDENTIALS = "no Google credentials here; `gcloud auth application-default login` makes them"
WRITES_NOTHING = ("LPUSHX", "improve_sketch:nothing", "")
"""Redis allows or refuses this like any write, but it changes nothing: the list that it would add to does not exist."""
OTHER_GEMINI = "something else answers at GEMINI_BASE_URL"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    name: str
    state: Literal["ok", "failed", "off"]
    words: str


class Wrong(Exception):
    """A service does not answer as it should; the text says so in words of ours."""


def findings(settings: Settings) -> Iterator[Finding]:
    """Ask one service after the other; yield each finding as soon as it is known."""
    yield _found("Redis", _redis(settings.redis_url, settings.redis_ca_cert))
    if settings.results_url != settings.redis_url:
        yield _found("Redis of the results", _redis(settings.results_url, settings.redis_ca_cert))
    archive = settings.archive_url
    yield (
        _found("Archive", _archive(archive, settings.archive_endpoint))
        if archive
        else Finding("Archive", "off", "not set: drawings are kept in Redis alone")
    )
    for name, topic, without in (
        ("Topic", settings.pubsub_topic, "not set: there are no background jobs"),
        ("Dead-letter topic", settings.dead_letter_topic, "not set: jobs that were given up are only logged"),
    ):
        yield _found(name, _topic(topic, settings.pubsub_url)) if topic else Finding(name, "off", without)
    yield _found("Gemini", _gemini(settings))


def _found(name: str, question: Awaitable[str]) -> Finding:
    async def in_time() -> str:
        async with asyncio.timeout(WITHIN_S):
            return await question

    try:
        return Finding(name, "ok", asyncio.run(in_time()))
    except Wrong as wrong:
        return Finding(name, "failed", str(wrong))
    except TimeoutError:
        return Finding(name, "failed", f"no answer within {WITHIN_S:.0f} s")
    except Exception as error:  # a failing check must not hide the others; the error's text may hold secrets
        return Finding(name, "failed", f"could not be checked: {type(error).__name__}")


async def _redis(url: str, ca_cert: str) -> str:
    """Connect as the functions do, read what the server reports about itself, and check whether it takes writes."""
    from redis.exceptions import RedisError
    from rubydraw.redis import store
    from rubydraw.redis.round_trip import refusal

    connected = store.connect(url, ca_cert)
    try:
        at = urlsplit(url)
        place = f"{at.hostname}:{at.port or 6379}"
        said, taken = await connected.pipeline(("INFO",), WRITES_NOTHING)
        store.raise_first([said])
    except SketchError:
        raise Wrong(f"{place} does not answer, or does not accept the user and password") from None
    except (ValueError, OSError, RedisError):
        raise Wrong("the address or the certificates cannot be read") from None
    finally:
        await connected.close()
    info = dict(line.split(":", 1) for line in said.decode().splitlines() if ":" in line)
    if unfit := _unfit(info, refusal(taken)):
        raise Wrong(f"{place} {unfit}")
    server = (
        f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info.get('redis_version', '?')}"
    )
    return f"{server} at {place} as {info.get('role', '?')}, {info.get('maxmemory_policy', '?')}"


def _unfit(info: dict[str, str], refused: str) -> str:
    """Return why the functions cannot use a Redis that answers; `refused`: its error word if it takes no write."""
    if info.get("cluster_enabled") == "1":
        return "is a node of a cluster; the functions need one Redis that has all keys"
    if info.get("role") == "slave":
        return "is a replica, but the functions write; name its primary"
    if refused == "OOM":
        return "is full: it takes no writes"
    return f"takes no writes ({refused})" if refused else ""


async def _archive(url: str, endpoint: str) -> str:
    """Read an object that cannot be there, so nothing is written; then list, which fails if the bucket is missing."""
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
    from rubydraw.drawings.archive import opened

    nothing = f"drawings/{'0' * 64}"
    try:
        store = opened(url, endpoint)
        with suppress(FileNotFoundError):
            await store.get_async(nothing)
    except (PermissionDeniedError, UnauthenticatedError):
        raise Wrong(f"these credentials may not read {url}") from None
    except (BaseError, OSError):
        raise Wrong(f"{url} cannot be reached, or there are no credentials for it here") from None
    try:
        async for _ in store.list(prefix=nothing):
            pass
    except BaseError:
        raise Wrong(f"{url} does not exist, or may not be listed") from None
    return f"{url} may be read"


async def _topic(topic: str, pubsub_url: str) -> str:
    """GET the topic (reference page "projects.topics.get")."""
    import httpx2

    place = urlsplit(pubsub_url).netloc
    try:
        headers = await Authorization(pubsub_url).headers()
    except Misconfigured:
        raise Wrong(NO_CREDENTIALS) from None
    except SketchError:
        raise Wrong("Google gives no access token now") from None
    try:
        async with httpx2.AsyncClient(trust_env=False, timeout=WITHIN_S) as client:
            response = await client.get(f"{pubsub_url}/v1/{topic}", headers=headers)
    except httpx2.TransportError:
        raise Wrong(f"{place} does not answer") from None
    match response.status_code:
        case 200 if _topic_id(_name(response.content)) == _topic_id(topic):
            return topic
        case 200:
            raise Wrong(f"what answers at {place} is not Pub/Sub")
        case 404:
            raise Wrong(f"{topic} does not exist")
        case 401 | 403:
            raise Wrong(f"these credentials may not see {topic} (publishing is another permission)")
        case status:
            raise Wrong(f"{place} answers status {status} when asked for {topic}")


def _topic_id(name: str) -> str:
    """Return the part of the name after the project, because the project may be named by id or by number."""
    return name.partition("/topics/")[2]


def _name(answer: bytes) -> str:
    """Return the `name` in an answer; an empty string if the answer is not a JSON object."""
    with suppress(ValueError, AttributeError):
        return str(json.loads(answer).get("name"))
    return ""


async def _gemini(settings: Settings) -> str:
    """Read the model's description with the functions' own client: that is free."""
    import httpx2
    from rubydraw.gemini.client import Gemini

    gemini = Gemini(settings)
    try:
        client = await gemini.load()
    except SketchError:
        raise Wrong(NO_CREDENTIALS) from None
    from google.auth.exceptions import GoogleAuthError
    from google.genai.errors import APIError

    try:
        model = await client.sdk.aio.models.get(model=settings.gemini_model)
    except APIError as error:
        raise Wrong(_refusal(error, settings)) from None
    except GoogleAuthError:
        raise Wrong(NO_CREDENTIALS) from None
    except httpx2.TransportError:
        raise Wrong("does not answer") from None
    except ValueError:
        raise Wrong(OTHER_GEMINI) from None
    finally:
        await gemini.close()
    if not model.name:
        raise Wrong(OTHER_GEMINI)
    return f"knows {settings.gemini_model} ({settings.gemini_mode})"


def _refusal(error: APIError, settings: Settings) -> str:
    match error.code:
        case 400 | 401 | 403:
            return f"does not accept the key or the credentials (status {error.code})"
        case 404 if error.status == "NOT_FOUND":
            return f"does not know the model {settings.gemini_model}"
        case 404:
            return OTHER_GEMINI
        case 429:
            return "refuses calls for now (status 429)"
    return f"answers status {error.code}"
