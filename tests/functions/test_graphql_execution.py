"""What comes of an operation that is executed: variables judged, faults masked, nothing kept."""

from __future__ import annotations

import base64
import gc
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from rubydraw.errors import GeminiFailed
from rubydraw.limits.quotas import Quotas
from rubydraw.principal import NOBODY

from tests.functions.tiny_graphql import (
    GRAPHQL_RESPONSE,
    IMPROVE,
    ORIGIN,
    Incoming,
    TinyService,
    messages,
    resolvers,
)
from tests.sketches import png

TYPENAME = {"query": "{ __typename }"}
CANARY = "canary-0123456789"


@pytest.fixture
def service() -> TinyService:
    return TinyService()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"input": CANARY}, ["Variable '$input' has to be of type 'ImproveSketchInput!', found a string."]),
        (
            {"input": {"svg": CANARY}},
            ["Variable '$input.pngBase64' has to be of type 'String!', found nothing."],
        ),
        (
            {"input": {"pngBase64": [CANARY], "variant": CANARY, "async": CANARY}},
            [
                "Variable '$input.pngBase64' has to be of type 'String!', found a list.",
                "Variable '$input.async' has to be of type 'Boolean', found a string.",
                "Variable '$input.variant' has to be of type 'Int', found a string.",
            ],
        ),
        (
            {"input": {"pngBase64": "", "variant": 2**40}},
            ["Variable '$input.variant' has to be of type 'Int', found a number beyond 32 bits."],
        ),
        (
            {"input": {"pngBase64": 1, "variant": 1.5}},
            [
                "Variable '$input.pngBase64' has to be of type 'String!', found a number.",
                "Variable '$input.variant' has to be of type 'Int', found a number with a fraction.",
            ],
        ),
        (
            {"input": {"pngBase64": "", "png": CANARY}},
            ["Variable '$input' has a field 'png' that type 'ImproveSketchInput' does not define."],
        ),
        (
            {"input": {"pngBase64": "", CANARY + "x" * 100_000: 1}},
            ["Variable '$input' has a field that type 'ImproveSketchInput' does not define."],
        ),
    ],
)
async def test_a_variable_that_does_not_fit_is_named_by_path_and_type(
    service: TinyService, variables: dict[str, Any], expected: list[str]
) -> None:
    """Coercion errors say where and what, and repeat nothing of the value."""
    response = await service.post({"query": IMPROVE, "variables": variables})
    assert (200, expected) == (response.status_code, messages(response))
    assert CANARY not in response.text


async def test_no_more_than_ten_misfits_are_listed(service: TinyService) -> None:
    """A thousand wrong fields make a short answer."""
    variables = {"input": {"pngBase64": "", **{f"field{number}": 0 for number in range(1_000)}}}
    assert 10 == len(messages(await service.post({"query": IMPROVE, "variables": variables})))


@pytest.mark.parametrize(
    "misfit",
    [{"a": 0}, {"svg": {"a": 0}}, {"svg": [{}]}, {"svg": 0}, {"cache": "a"}, {"variant": "a"}, {"async": "a"}],
    ids=repr,
)
async def test_no_misfit_is_written_down_or_compared(
    service: TinyService, monkeypatch: pytest.MonkeyPatch, misfit: dict[str, Any]
) -> None:
    """By graphql-core, in errors that nobody reads: twelve megabytes take it a second."""
    read: list[object] = []

    def noted(*given: object) -> str:
        read.append(given)
        return ""

    for module, name in (("pyutils.inspect", "inspect_recursive"), ("type.definition", "did_you_mean_enum_value")):
        monkeypatch.setattr(sys.modules[f"graphql.{module}"], name, noted)
    response = await service.post({"query": IMPROVE, "variables": {"input": {"pngBase64": "", **misfit}}})
    assert (1, []) == (len(messages(response)), read)


async def test_a_null_for_a_variable_with_a_default_is_the_callers_fault(service: TinyService) -> None:
    """The one misfit that only execution finds is no internal error, and is not echoed either."""
    query = """mutation ($png: String = "", $svg: String) {
      improveSketch(input: {pngBase64: $png, svg: $svg}) { requestId }
    }"""
    response = await service.post({"query": query, "variables": {"png": None, "svg": CANARY}})
    assert ["An argument does not fit its type."] == messages(response)
    assert (False, []) == (CANARY in response.text, service.faults)


@pytest.mark.parametrize(
    ("query", "accept", "status"),
    [
        ("query ($is: Boolean = true) { __typename @skip(if: $is) }", "application/json", 200),
        ("query ($is: Boolean = true) { __typename @include(if: $is) }", GRAPHQL_RESPONSE, 400),
        ("query ($is: Boolean = true) { __typename @skip(if: $is) }", "text/event-stream", 200),
        (
            'subscription ($is: Boolean = true) { improveSketchStatus(requestId: "a") { status @skip(if: $is) } }',
            *("text/event-stream", 200),
        ),
    ],
)
async def test_a_null_for_the_condition_of_a_directive_is_the_callers_fault(
    service: TinyService, query: str, accept: str, status: int
) -> None:
    """It is found out when the fields are collected, and told like any other misfit."""
    response = await service.post({"query": query, "variables": {"is": None}}, accept=accept)
    assert (status, []) == (response.status_code, service.faults)
    assert "An argument does not fit its type." in response.text
    assert "INTERNAL" not in response.text


async def test_a_fault_is_masked_and_found_by_its_trace(service: TinyService) -> None:
    """An unexpected exception shows a code and a trace id, and is logged once."""
    variables = {"input": {"pngBase64": CANARY, "hints": "crash"}}
    response = await service.post({"query": IMPROVE, "variables": variables}, accept=GRAPHQL_RESPONSE)
    [error] = response.json()["errors"]
    assert ("Internal error", {"code": "INTERNAL", "trace": "trace-1"}) == (
        error["message"],
        error["extensions"],
    )
    assert (200, {"improveSketch": None}) == (response.status_code, response.json()["data"])
    assert (False, 1) == (CANARY in response.text, len(service.faults))


async def test_a_value_that_breaks_the_schema_is_masked(service: TinyService) -> None:
    """A resolver's answer that the schema does not allow is a fault of ours, and is not echoed."""
    query = '{ improveSketchStatus(requestId: "a") { createdAt maxAttempts status error result { title } } }'
    async with service.client() as client:
        service.endpoint._schema.query_type.fields["improveSketchStatus"].resolve = lambda *_, **__: {  # type: ignore[union-attr]
            "status": CANARY
        }
        response = await client.get("/graphql", params={"query": query})
    assert ["Internal error"] == messages(response)
    assert CANARY not in response.text


async def test_an_error_with_a_code_passes_as_it_is(service: TinyService) -> None:
    """What a resolver says on purpose reaches the client unmasked."""
    variables = {"input": {"pngBase64": "", "hints": "refuse"}}
    response = await service.post({"query": IMPROVE, "variables": variables})
    [error] = response.json()["errors"]
    assert ("Redis is away.", {"code": "UNAVAILABLE", "trace": "t"}) == (
        error["message"],
        error["extensions"],
    )
    assert [] == service.faults


async def test_a_fault_outside_the_resolvers_is_a_masked_500(service: TinyService) -> None:
    """Even a context that cannot be made is logged by its trace and answered in JSON."""

    def broken(_incoming: object, _principal: object) -> None:
        raise RuntimeError(CANARY)

    service.endpoint._context = broken
    response = await service.post(TYPENAME, origin=ORIGIN)
    assert 500 == response.status_code
    assert {"code": "INTERNAL", "trace": "trace-1"} == response.json()["errors"][0]["extensions"]
    assert (False, ORIGIN) == (CANARY in response.text, response.headers["access-control-allow-origin"])


@pytest.mark.parametrize(
    "request_",
    [
        {"query": IMPROVE, "variables": {"input": {"pngBase64": "", "hints": ""}}},
        {"query": IMPROVE, "variables": {"input": {"pngBase64": "", "hints": "crash"}}},
        {"query": '{ improveSketchStatus(requestId: "crash") { status } __typename }'},
    ],
)
async def test_nothing_of_a_request_outlives_its_answer(service: TinyService, request_: dict[str, Any]) -> None:
    """The context, and so the pictures, are freed without the collector's help."""
    gc.disable()
    try:
        for _ in range(2):
            await service.post(request_)
        assert [None, None] == [context() for context in service.contexts]
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        (IMPROVE, {"input": {"pngBase64": CANARY}}),
        ("mutation($png: String!) { improveSketch(input: {pngBase64: $png}) { errors } }", {"png": CANARY}),
    ],
    ids=["in its input", "alone"],
)
async def test_a_sketch_that_a_resolver_drops_is_gone(
    service: TinyService, query: str, variables: dict[str, Any]
) -> None:
    """While a drawing is awaited, nothing else holds the text that the sketch came in."""
    references: list[int] = []

    async def drop(_source: object, _info: object, input: dict[str, Any]) -> None:
        sketch = input.pop("pngBase64")
        references.append(sys.getrefcount(sketch))

    schema = service.endpoint._schema
    assert schema.mutation_type
    schema.mutation_type.fields["improveSketch"].resolve = drop
    await service.post({"query": query, "variables": variables})
    assert references <= [2]  # the name in `drop` and the argument of `getrefcount`


async def test_a_call_that_is_awaited_holds_nothing_of_its_input() -> None:
    """A synchronous request has no use for an idempotency key, which may have as many megabytes as a body."""
    given: dict[str, Any] = {"pngBase64": base64.b64encode(png()).decode(), "idempotencyKey": "long", "variant": 1}
    held: list[dict[str, Any]] = []

    class Submit:
        async def now(self, *_: object, **__: object) -> None:
            held.append(dict(given))
            raise GeminiFailed

    scope: Any = {"method": "POST", "path": "/", "query_string": b"", "scheme": "http", "headers": []}
    nothing: Any = None
    info: Any = SimpleNamespace(
        context=resolvers.Context(Incoming(scope, nothing), NOBODY), field=SimpleNamespace(selects=lambda *_: True)
    )
    submit: Any = Submit()
    settings: Any = SimpleNamespace(max_png_bytes=10_000)
    quotas = Quotas(nothing, requests_per_minute=None)
    await resolvers.Resolvers(submit, nothing, quotas, nothing, nothing, settings).improve_sketch(None, info, given)
    assert [{}] == held


async def test_an_explicit_null_arrives_as_none_and_an_absent_field_as_its_default(
    service: TinyService,
) -> None:
    """The resolver sees what the schema promises."""
    await service.post({"query": IMPROVE, "variables": {"input": {"pngBase64": "a", "variant": None}}})
    assert [{"pngBase64": "a", "async": False, "variant": None, "cache": "USE"}] == service.inputs
