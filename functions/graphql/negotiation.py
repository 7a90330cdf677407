"""Chooses the media type of an answer by the `Accept` header, and judges that of a body by `Content-Type`."""

from __future__ import annotations

import functools

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
EVENT_STREAM = "text/event-stream"


@functools.lru_cache(maxsize=64)
def answer_type(accept: str | None) -> str | None:
    """Return JSON, GRAPHQL_RESPONSE or EVENT_STREAM, whichever is preferred, or None if none is acceptable.

    At equal quality the first one in the header wins. A wildcard means JSON if it allows JSON; so does no header.
    """
    if accept is None or not accept.strip():
        return JSON
    ranges = [_range(each) for each in accept.split(",")]
    best: tuple[float, int, str] | None = None
    for media_type in (JSON, GRAPHQL_RESPONSE, EVENT_STREAM):
        for name in (EVENT_STREAM, "text/*") if media_type == EVENT_STREAM else (media_type, "application/*", "*/*"):
            position = next((i for i, (each, _) in enumerate(ranges) if each == name), None)
            if position is not None:
                quality = ranges[position][1]
                rank = -len(ranges) if name == "text/*" else -position
                if quality > 0 and (best is None or (quality, rank) > best[:2]):
                    best = (quality, rank, media_type)
                break
    return best[2] if best else None


@functools.lru_cache(maxsize=64)
def is_json(content_type: str | None) -> bool:
    """Whether a body of this type is JSON in UTF-8, the only kind that is read."""
    name, parameters = _parsed(content_type or "")
    return name == JSON and parameters.get("charset", "utf-8") in ("utf-8", "utf8")


def _range(text: str) -> tuple[str, float]:
    name, parameters = _parsed(text)
    if parameters.get("charset", "utf-8") not in ("utf-8", "utf8"):
        return name, 0.0
    try:
        return name, float(parameters.get("q", "1"))
    except ValueError:
        return name, 0.0


def _parsed(text: str) -> tuple[str, dict[str, str]]:
    name, *parameters = text.lower().split(";")
    pairs = (each.partition("=") for each in parameters)
    return name.strip(), {key.strip(): value.strip().strip('"') for key, _, value in pairs}
