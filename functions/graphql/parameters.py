"""Reads the parameters of one GraphQL request from a POST body or a GET query string."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
from coercion import kind
from graphql import Undefined
from incoming import Incoming
from negotiation import is_json
from refusal import Refused
from starlette.datastructures import QueryParams

MAX_BODY_BYTES = 12 * 1024 * 1024
MAX_MARKS = 300_000
"""
The most commas, brackets and braces in a body: a few more than the longest SVG may hold. Without a bound the values
that they separate took 40 times the bytes of the body.
"""
MAX_STRINGS = 20_000
"""The most strings in a large body, names of fields among them: to parse 300,000 names would take 100 ms."""
_MANY_MARKS = MAX_STRINGS // 2


class Parameters(NamedTuple):
    """What GraphQL over HTTP calls a request. `extensions` are checked, but not used."""

    query: str
    variables: dict[str, Any]
    operation_name: str | None


async def from_body(incoming: Incoming) -> Parameters:
    """Read a POST request.

    Raises Refused, and starlette's ClientDisconnect when the client leaves in mid-body.
    """
    if not is_json(incoming.header(b"content-type")):
        raise Refused(415, "The content type has to be application/json, in UTF-8.")
    if (incoming.header(b"content-encoding") or "identity").lower() != "identity":
        raise Refused(415, "The body has to come without a content encoding.")
    text = await _body(incoming)
    if len(text) > MAX_MARKS and (crowd := _crowd(text)):  # a shorter one is parsed within 20 ms
        raise Refused(400, f"The body has more than {crowd}.")
    body = _loaded(text, "body")
    if isinstance(body, list):
        raise Refused(400, "One operation per request: batches are not supported.")
    if not isinstance(body, dict):
        raise Refused(400, f"The body has to be a JSON object, found {kind(body)}.")
    return _checked(body)


def from_query_string(incoming: Incoming) -> Parameters:
    """Read a GET request, whose variables and extensions are JSON. Raises Refused."""
    given: dict[str, Any] = dict(QueryParams(incoming.query_string))
    for name in ("variables", "extensions"):
        if name in given:
            given[name] = _loaded(given[name].encode(), f"parameter '{name}'")
    return _checked(given)


async def _body(incoming: Incoming) -> bytes:
    """Return the body; refuse one with too large a Content-Length before it comes."""
    announced = incoming.header(b"content-length") or ""
    if not (announced.isdecimal() and int(announced) > MAX_BODY_BYTES):
        body = await incoming.body(MAX_BODY_BYTES)
        if body is not None:
            return body
    raise Refused(413, f"The body is larger than {MAX_BODY_BYTES // 1024**2} MiB.", {"connection": "close"})


def _crowd(text: bytes) -> str:
    """Return what a body has too many of, or an empty string; strings need marks between them."""
    if not _has_many_marks(text):
        return ""
    if len(text) - len(text.translate(None, b",[{")) > MAX_MARKS:
        return f"{MAX_MARKS:,} commas, brackets and braces"
    # Quotes within strings follow a backslash; so does the last one of a string that ends with one, which counts half.
    strings = (text.count(b'"') - text.count(b'\\"')) // 2
    return f"{MAX_STRINGS:,} strings" if strings > MAX_STRINGS else ""


def _has_many_marks(text: bytes) -> bool:
    """Whether it is worth while to count them: `find` leaps over a picture."""
    marks = 0
    for mark in b",[{":
        at = text.find(mark)
        while at >= 0:
            marks += 1
            if marks == _MANY_MARKS:
                return True
            at = text.find(mark, at + 1)
    return False


def _loaded(text: bytes, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        # Its message describes the fault and repeats nothing of the text.
        raise Refused(400, f"The {what} is not valid JSON: {error.msg}.") from None


def _checked(given: dict[str, Any]) -> Parameters:
    query, variables, name = given.get("query"), given.get("variables"), given.get("operationName")
    extensions = given.get("extensions")
    if extensions is not None and not isinstance(extensions, dict):
        raise _misfit("extensions", "an object", extensions)
    if query is None and extensions and "persistedQuery" in extensions:
        told = "Persisted queries are not supported: send the document in the parameter 'query'."
        raise Refused(400, told, code="PERSISTED_QUERY_NOT_SUPPORTED")  # at this code clients send the document
    if not isinstance(query, str):
        raise _misfit("query", "a string", given.get("query", Undefined))
    if variables is not None and not isinstance(variables, dict):
        raise _misfit("variables", "an object", variables)
    if name is not None and not isinstance(name, str):
        raise _misfit("operationName", "a string", name)
    return Parameters(query, variables or {}, name or None)  # an empty name is none (GraphQL over HTTP, GET)


def _misfit(name: str, needed: str, found: Any) -> Refused:
    return Refused(400, f"The parameter '{name}' has to be {needed}, found {kind(found)}.")
