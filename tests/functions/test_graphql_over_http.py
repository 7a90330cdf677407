"""What GraphQL over HTTP asks of the endpoint: media types, status codes, methods, parameters."""

from __future__ import annotations

from typing import Any

import pytest
from rubydraw.errors import Unavailable
from rubydraw.principal import Principal

from tests.functions.tiny_graphql import GRAPHQL_RESPONSE, IMPROVE, TinyService, messages

TYPENAME = {"query": "{ __typename }"}


@pytest.fixture
def service() -> TinyService:
    return TinyService()


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/json", "application/json"),
        (GRAPHQL_RESPONSE, GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE}, application/json", GRAPHQL_RESPONSE),
        (f"application/json, {GRAPHQL_RESPONSE}", "application/json"),
        (f"application/json;q=0.5, {GRAPHQL_RESPONSE};q=0.9", GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE};charset=utf-8, application/json;q=0.9", GRAPHQL_RESPONSE),
        ("application/json;q=0, */*;q=0.1", GRAPHQL_RESPONSE),
        ("text/html, APPLICATION/JSON;q=0.1", "application/json"),
        ("text/*, application/json", "application/json"),
        ("text/*, */*", "application/json"),
    ],
)
async def test_the_accept_header_chooses_the_media_type(service: TinyService, accept: str, expected: str) -> None:
    """The best acceptable media type is answered, always with its charset."""
    response = await service.post(TYPENAME, accept=accept)
    assert (200, f"{expected}; charset=utf-8") == (response.status_code, response.headers["content-type"])
    assert {"data": {"__typename": "Query"}} == response.json()


async def test_any_text_is_a_stream(service: TinyService) -> None:
    """The one text there is, for who takes no JSON."""
    response = await service.post(TYPENAME, accept="text/*")
    assert (200, "text/event-stream; charset=utf-8") == (response.status_code, response.headers["content-type"])


@pytest.mark.parametrize(
    "accept",
    ["text/html", "image/*", "application/json;q=0", "application/json;q=x", ";,;", "text/*, text/event-stream;q=0"],
)
async def test_an_accept_header_that_cannot_be_met_is_406(service: TinyService, accept: str) -> None:
    """A client that takes neither media type is told which there are."""
    assert 406 == (await service.post(TYPENAME, accept=accept)).status_code


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/json; charset=utf-16",
        "application/jsonp",
    ],
)
async def test_a_body_that_is_not_json_by_its_type_is_415(service: TinyService, content_type: str) -> None:
    """What a web page may send without a preflight never runs."""
    response = await service.post({"query": IMPROVE}, content_type=content_type)
    assert (415, []) == (response.status_code, service.inputs)


async def test_an_encoded_body_is_415(service: TinyService) -> None:
    """A compressed body is refused unread."""
    assert 415 == (await service.post(b"\x1f\x8b", content_encoding="gzip")).status_code
    assert 200 == (await service.post(TYPENAME, content_encoding="identity")).status_code


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The body is not valid JSON"),
        (b'{"query": "{ __typename }"', "The body is not valid JSON"),
        (b'{"query": "{ __typename }", "variables": {"a": NaN}}', "The body is not valid JSON"),
        (b'{"query": "{ __typename }", "variables": {"a": 1e400}}', "The body is not valid JSON"),
        (b'{"query": "\\ud800"}', "The body is not valid JSON"),
        (b'{"query": "\xff"}', "The body is not valid JSON"),
        (b'{"a":' * 5_000, "The body is not valid JSON"),
        ([TYPENAME, TYPENAME], "One operation per request"),
        ("{ __typename }", "The body has to be a JSON object, found a string."),
        (None, "The body has to be a JSON object, found null."),
        ({}, "The parameter 'query' has to be a string, found nothing."),
        ({"query": None}, "The parameter 'query' has to be a string, found null."),
        ({"query": ["{ __typename }"]}, "The parameter 'query' has to be a string, found a list."),
        ({**TYPENAME, "variables": []}, "The parameter 'variables' has to be an object, found a list."),
        ({**TYPENAME, "variables": ""}, "The parameter 'variables' has to be an object, found a string."),
        ({**TYPENAME, "operationName": 0}, "The parameter 'operationName' has to be a string, found a number."),
        ({**TYPENAME, "extensions": "x"}, "The parameter 'extensions' has to be an object, found a string."),
        ({"extensions": {"persistedQuery": {"version": 1}}}, "Persisted queries are not supported: send the document"),
    ],
)
@pytest.mark.parametrize("accept", ["application/json", GRAPHQL_RESPONSE])
async def test_a_body_that_is_no_request_is_400(service: TinyService, body: Any, message: str, accept: str) -> None:
    """What cannot be read as a request is a 400 with one clear sentence, whatever the media type."""
    response = await service.post(body, accept=accept)
    assert 400 == response.status_code
    assert [message] == [each[: len(message)] for each in messages(response)]
    assert {"errors"} == response.json().keys()


@pytest.mark.parametrize(
    "request_body",
    [
        {"query": "{"},
        {"query": "{ unknown }"},
        {"query": "subscription { improveSketchStatus }"},
        {"query": "query A { __typename } query B { __typename }"},
        {"query": "query A { __typename }", "operationName": "B"},
        {"query": "query A { __typename } query B { __typename }", "operationName": ""},
        {"query": "query A { __typename }", "operationName": "\r\nSet-Cookie: a=b"},
        {"query": "query A { __typename }", "operationName": "x" * 1_000_000},
        {"query": IMPROVE},
        {"query": IMPROVE, "variables": {"input": None}},
        {"query": "#" * 20_000},
    ],
)
async def test_an_operation_that_cannot_begin_has_no_data(service: TinyService, request_body: dict[str, Any]) -> None:
    """Errors before execution are a 400 in the new media type, a 200 in the old one, and short."""
    new = await service.post(request_body, accept=GRAPHQL_RESPONSE)
    old = await service.post(request_body, accept="application/json")
    assert (400, 200) == (new.status_code, old.status_code)
    assert {"errors"} == new.json().keys() == old.json().keys()
    assert len(new.content) < 1_000


async def test_queries_may_be_sent_by_get(service: TinyService) -> None:
    """A query string carries query, variables and operationName."""
    params = {
        "query": "query A($id: String!) { improveSketchStatus(requestId: $id) { attempt } } query B { __typename }",
        "variables": '{"id": "x"}',
        "operationName": "A",
    }
    async with service.client() as client:
        response = await client.get("/", params=params)
    assert {"data": {"improveSketchStatus": {"attempt": 0}}} == response.json()


async def test_an_empty_operation_name_is_none(service: TinyService) -> None:
    """As GraphQL over HTTP has it for GET; clients send it in bodies too."""
    query = {"query": "query A { __typename }", "operationName": ""}
    async with service.client() as client:
        answers = [await client.get("/", params=query), await service.post(query)]
    assert [{"data": {"__typename": "Query"}}] * 2 == [answer.json() for answer in answers]


async def test_a_persisted_query_is_refused_by_the_code_that_clients_know(service: TinyService) -> None:
    """They send the document then."""
    [error] = (await service.post({"extensions": {"persistedQuery": {"version": 1}}})).json()["errors"]
    assert {"code": "PERSISTED_QUERY_NOT_SUPPORTED"} == error["extensions"]
    assert 200 == (await service.post({**TYPENAME, "extensions": {"persistedQuery": {"version": 1}}})).status_code


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({}, 400),
        ({"query": "{ __typename }", "variables": "{"}, 400),
        ({"query": "{ __typename }", "variables": "[]"}, 400),
        ({"query": "{ __typename }", "extensions": "1"}, 400),
        ({"query": "{ __typename }", "variables": "null"}, 200),
        ({"query": "mutation { __typename }"}, 405),
        ({"query": "query A { __typename } mutation B { __typename }", "operationName": "B"}, 405),
    ],
)
async def test_a_get_request_is_judged_like_a_body(service: TinyService, params: dict[str, str], status: int) -> None:
    """Bad parameters are a 400; a mutation is a 405 that allows POST."""
    async with service.client() as client:
        response = await client.get("/graphql", params=params)
    assert (status, "POST" if status == 405 else None) == (
        response.status_code,
        response.headers.get("allow"),
    )


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "PATCH", "TRACE"])
async def test_other_methods_are_405(service: TinyService, method: str) -> None:
    """Only GET, POST and the preflight's OPTIONS are answered."""
    async with service.client() as client:
        response = await client.request(method, "/graphql")
    assert (405, "GET, POST, OPTIONS") == (response.status_code, response.headers["allow"])


async def test_who_comes_again_when_told_does_not_come_too_early() -> None:
    """A time with a fraction is rounded up: Retry-After has whole seconds."""

    async def nobody_can_say(_: object) -> Principal:
        raise Unavailable(retry_after_s=1.2)

    answer = await TinyService(principal=nobody_can_say).post(TYPENAME)
    assert (503, "2") == (answer.status_code, answer.headers["retry-after"])


@pytest.mark.parametrize("path", ["/graphql/", "/graphiql", "/favicon.ico", "/graphql%0d%0a"])
async def test_other_paths_are_404(service: TinyService, path: str) -> None:
    """There is nothing but the endpoint."""
    async with service.client() as client:
        response = await client.post(path, json=TYPENAME)
    assert 404 == response.status_code


async def test_every_answer_forbids_sniffing_and_storing(service: TinyService) -> None:
    """The protecting headers are on answers of every kind."""
    async with service.client() as client:
        answers = [
            await client.request(*each) for each in (("GET", "/"), ("PUT", "/"), ("GET", "/x"), ("OPTIONS", "/"))
        ]
    answers.append(await service.post(TYPENAME))
    assert {("nosniff", "no-store")} == {
        (each.headers["x-content-type-options"], each.headers["cache-control"]) for each in answers
    }
