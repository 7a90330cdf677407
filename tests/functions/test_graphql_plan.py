"""Planned execution beside graphql-core's own: the same data, and the same errors at the same places."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from graphql import (
    ExecutionResult,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    execute,
    get_introspection_query,
    get_named_type,
    parse,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.functions.tiny_graphql import FOLDER, coercion, documents, execution, splicing

PICTURE = b"\x89PNG" + bytes(range(256))
VARIABLES = {"id": "a", "yes": True, "no": False}
USED = "... @include(if: $yes) { __typename } ... @skip(if: $no) { __typename }"
HEAD = "query ($id: String!, $yes: Boolean!, $no: Boolean!)"


STATES: dict[str, Any] = {}


def contract() -> GraphQLSchema:
    """Answer the schema, with the state of a job for each request id, and an address that is awaited."""
    schema = build_schema((FOLDER / "schema.graphql").read_text())

    async def status(_source: Any, _info: Any, requestId: str) -> Any:  # noqa: N803
        if isinstance(state := STATES[requestId], Exception):
            raise state
        return state

    async def image_url(source: Any, _info: Any) -> Any:
        if isinstance(url := source.get("url"), Exception):
            raise url
        return url

    assert schema.query_type
    schema.query_type.fields["improveSketchStatus"].resolve = status
    result = schema.get_type("ImproveSketchResult")
    assert isinstance(result, GraphQLObjectType)
    result.fields["imageUrl"].resolve = image_url
    return schema


@st.composite
def selections(draw: st.DrawFn, type_: GraphQLObjectType, depth: int = 0) -> str:
    """Draw what is selected of a type: fields, some twice, some under another name, some in fragments or skipped."""
    chosen = draw(st.lists(st.sampled_from(["__typename", *type_.fields]), min_size=1, max_size=5))
    texts = []
    for name in chosen:
        field = type_.fields.get(name)
        below = get_named_type(field.type) if field else None
        alias = draw(st.sampled_from(["", "", f"{name}2: "]))
        arguments = "(requestId: $id)" if field and field.args else ""
        directive = draw(st.sampled_from(["", "", "", "@skip(if: $yes)", "@include(if: $no)", "@include(if: $yes)"]))
        inner = f" {{ {draw(selections(below, depth + 1))} }}" if isinstance(below, GraphQLObjectType) else ""
        text = f"{alias}{name}{arguments} {directive}{inner}"
        texts.append(
            draw(st.sampled_from([text, text, f"... {{ {text} }}", f"... on {type_.name} @skip(if: $no) {{ {text} }}"]))
        )
    return " ".join(texts)


LEAVES = st.sampled_from(
    [None, "", "a", 7, 2**40, 0.5, True, "done", "BAD_INPUT", ["a"], [None], [3], ValueError("no")]
)


@st.composite
def words(draw: st.DrawFn, type_: GraphQLObjectType) -> Any:
    """Draw what a resolver answers for a type: mostly what fits, now and then anything."""
    answer: dict[str, Any] = {}
    for name, field in type_.fields.items():
        below = get_named_type(field.type)
        if isinstance(below, GraphQLObjectType):
            answer[name] = draw(st.one_of(words(below), st.sampled_from([None, ValueError("no")])))
        else:
            fitting = {"Int": 3, "Float": 0.5, "Boolean": False, "ImproveSketchState": "done", "ProblemCode": "TIMEOUT"}
            fits = ["#fff"] if name in ("palette", "errors") else fitting.get(below.name, "words")
            answer[name] = draw(st.one_of(*[st.just(fits)] * 6, LEAVES))
    return answer | {"url": draw(st.sampled_from(["https://a/b.png", None, ValueError("no")]))}


SCHEMA = contract()
DOCUMENTS = documents.Documents(SCHEMA, introspection=True)
assert SCHEMA.query_type
STATUS = get_named_type(SCHEMA.query_type.fields["improveSketchStatus"].type)
assert isinstance(STATUS, GraphQLObjectType)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    selected=selections(SCHEMA.query_type), state=st.one_of(words(STATUS), st.sampled_from([None, ValueError("no")]))
)
async def test_whatever_is_selected_and_answered(selected: str, state: Any) -> None:
    """Fragments, directives, nulls where none may be, values that do not fit, failures and what is awaited."""
    text = f"{HEAD} {{ {selected} x: improveSketchStatus(requestId: $id) {{ {USED} status }} }}"
    assume(isinstance(DOCUMENTS.load(text), documents.Document))
    STATES["a"] = state
    assert await by_graphql_core(text) == await planned(text)


async def test_the_introspection_of_tools() -> None:
    """The whole schema, by resolvers that know nothing of dicts."""
    text = get_introspection_query(input_value_deprecation=True, directive_is_repeatable=True)
    data, errors = await planned(text)
    assert (data, errors) == await by_graphql_core(text)
    assert (20 < len(data["__schema"]["types"]), []) == (True, errors)


async def test_a_picture_in_bytes_is_answered_in_base64() -> None:
    """It is no str before it is sent."""
    STATES["a"] = {"status": "done", "result": {"imageBase64": PICTURE}}
    data, errors = await planned('{ improveSketchStatus(requestId: "a") { result { imageBase64 } } }')
    assert ({"imageBase64": base64.b64encode(PICTURE).decode()}, []) == (data["improveSketchStatus"]["result"], errors)


@pytest.mark.parametrize(
    ("directive", "selected"),
    [("", True), ("@skip(if: $yes)", False), ("@skip(if: $no)", True), ("@include(if: $no)", False)],
)
def test_what_is_skipped_is_not_selected(directive: str, selected: bool) -> None:
    """So it is not read from Redis either."""
    picture = f"result {{ ... on ImproveSketchResult {{ imageBase64 {directive} }} }}"
    operation = operation_of(f"{HEAD} {{ improveSketchStatus(requestId: $id) {{ {USED} {picture} }} }}")
    variables: Any = coercion.coerce(SCHEMA, operation.node, dict(VARIABLES))
    [field] = operation.plan(variables)
    assert (True, selected) == (field.selects("result"), field.selects("result", "imageBase64"))


def test_a_plan_is_made_once_unless_it_depends_on_variables() -> None:
    """The next caller with other variables gets another plan where a directive asks for one."""
    for text, same in (
        ("{ __typename }", True),
        ("query ($yes: Boolean!) { a: __typename b: __typename @skip(if: $yes) }", False),
    ):
        operation = operation_of(text)
        coerced: list[Any] = [coercion.coerce(SCHEMA, operation.node, dict(VARIABLES)) for _ in range(2)]
        one, other = map(operation.plan, coerced)
        assert same == (one is other)


@pytest.mark.parametrize("values", [["a", "b"], [], (), None, ["a", None, 7], [None], [["a"], "b"], "no list", 7])
async def test_lists(values: Any) -> None:
    """An item that does not fit takes the list with it, unless it may be null itself."""
    schema = build_schema("type Query { some: [String] all: [String!] sure: [String!]! }")
    assert schema.query_type
    for name in ("some", "all", "sure"):
        schema.query_type.fields[name].resolve = lambda *_: values
        text = f"{{ {name} }}"
        assert await by_graphql_core(text, schema) == await planned(text, schema), name


def operation_of(text: str, by: documents.Documents = DOCUMENTS) -> documents.Operation:
    document = by.load(text)
    assert isinstance(document, documents.Document), document
    operation = document.operation(None)
    assert operation
    return operation


async def planned(text: str, schema: GraphQLSchema = SCHEMA) -> tuple[Any, list[Any]]:
    """Answer the data, and the places of the errors: what they say is masked."""
    operation = operation_of(text, documents.Documents(schema, introspection=True))
    pieces = await execution.execute(schema, operation, dict(VARIABLES), None, lambda _: "t")
    assert isinstance(pieces, tuple)
    answer = json.loads(b"".join(map(splicing.text_of, pieces)))
    return answer["data"], places(answer.get("errors", []))


async def by_graphql_core(text: str, schema: GraphQLSchema = SCHEMA) -> tuple[Any, list[Any]]:
    result = execute(schema, parse(text), variable_values=dict(VARIABLES))
    if not isinstance(result, ExecutionResult):
        result = await result
    assert isinstance(result, ExecutionResult)
    return result.data, places([error.formatted for error in result.errors or ()])


def places(errors: list[Any]) -> list[Any]:
    """Answer path and locations of each error, in the order of the paths."""
    return sorted(((error.get("path", []), error["locations"]) for error in errors), key=repr)
