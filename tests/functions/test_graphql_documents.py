"""What a document may not do: each guard, and how long hostile texts can keep the process busy."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from graphql import build_schema, get_introspection_query

from tests.functions.tiny_graphql import FOLDER, GRAPHQL_RESPONSE, IMPROVE, TinyService

from documents import MAX_CACHED, Document, Documents, _literals  # isort: skip

CANARY = "canary-0123456789"
STATUS = 'improveSketchStatus(requestId: "a")'
IN_VARIABLES = "Send images in variables, not in the document."


@pytest.fixture(scope="module")
def documents() -> Documents:
    return Documents(build_schema((FOLDER / "schema.graphql").read_text()), introspection=True)


def refusal(documents: Documents, text: str) -> str:
    """Answer the first message."""
    outcome = documents.load(text)
    assert isinstance(outcome, list)
    return outcome[0]["message"]


def fragments(count: int, body: str, on: str = "ImproveSketchStatus") -> str:
    """Answer this many fragments; in the body, %N is the number of the next one."""
    return " ".join(
        f"fragment F{number} on {on} {{ {body.replace('%N', str(number + 1))} }}" for number in range(count)
    )


def spreads(count: int) -> str:
    return " ".join(f"...F{number}" for number in range(count))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"descriptions": False},
        {
            "specified_by_url": True,
            "directive_is_repeatable": True,
            "schema_description": True,
            "input_value_deprecation": True,
            "experimental_directive_deprecation": True,
            "one_of": True,
        },
        {"type_depth": 40},
    ],
)
async def test_the_standard_introspection_query_is_answered(options: dict[str, Any]) -> None:
    """What the tools send passes every guard."""
    async with TinyService().client() as client:
        response = await client.post("/", json={"query": get_introspection_query(**options)})
    assert ["data"] == list(response.json())


@pytest.mark.parametrize("field", ["__schema { queryType { name } }", '__type(name: "Query") { name }'])
@pytest.mark.parametrize("template", ["{ %s }", "{ ... { a: %s } }", "{ ...F } fragment F on Query { %s }"])
def test_introspection_can_be_switched_off(field: str, template: str) -> None:
    """Without introspection only `__typename` is left."""
    documents = Documents(build_schema((FOLDER / "schema.graphql").read_text()), introspection=False)
    assert "introspection has been disabled" in refusal(documents, template.replace("%s", field))
    assert isinstance(documents.load("{ __typename }"), Document)


def test_a_long_document_is_refused(documents: Documents) -> None:
    """16 KiB are counted in bytes."""
    assert isinstance(documents.load("{ __typename }".ljust(16 * 1024)), Document)
    for text in ("{ __typename }".ljust(16 * 1024 + 1), "{ __typename } #" + "é" * 10_000, "x" * 4_000_000):
        assert f"The document is longer than 16 KiB. {IN_VARIABLES}" == refusal(documents, text)


@pytest.mark.parametrize(
    "literal",
    [
        '"' + "A" * 4_095 + '"',
        '"' + "A" * 5_000,
        '"""' + 'A\n"' * 2_000 + '"""',
        '"""\\"""' + "A" * 5_000 + '"""',
        '"#" svg: "' + '\\"' * 2_500 + '"',
    ],
)
def test_a_long_string_is_refused(documents: Documents, literal: str) -> None:
    """A string above 4 KiB is found before the document is read, however it is written."""
    text = f"mutation {{ improveSketch(input: {{pngBase64: {literal}}}) {{ requestId }} }}"
    assert f"A string is longer than 4,096 characters. {IN_VARIABLES}" == refusal(documents, text)


def test_what_only_looks_like_a_long_string_is_accepted(documents: Documents) -> None:
    """Quotes in comments, and many short strings, are no long string."""
    text = f'{{ a: improveSketchStatus(requestId: "{"A" * 4_000}") {{ status }} b: {STATUS} {{ status }} }}'
    assert isinstance(documents.load('#"\n' + text + '\n#"' + "A" * 5_000), Document)


def test_tokens_are_bounded(documents: Documents) -> None:
    """A thousand tokens end the parser."""
    assert "Syntax Error: Document contains more than 1000 tokens." in refusal(documents, "{" + "a " * 1_000)


@pytest.mark.parametrize(
    "text",
    [
        "{" + STATUS + " { result { a { a { a { a { a { a { a } } } } } } } } }",
        "{" + STATUS + " { result { ...A } } } fragment A on Query { a { a { a { a { a { a { a } } } } } } }",
    ],
)
def test_nesting_is_bounded(documents: Documents, text: str) -> None:
    """Nine levels are too many, also through a fragment."""
    assert "The document is nested deeper than 8 levels." == refusal(documents, text)


def test_aliases_are_bounded(documents: Documents) -> None:
    """Fifteen aliases pass, sixteen do not."""
    aliased = [f"a{number}: {STATUS} {{ status }}" for number in range(16)]
    assert isinstance(documents.load("{" + " ".join(aliased[:15]) + "}"), Document)
    assert "The document has more than 15 aliases." == refusal(documents, "{" + " ".join(aliased) + "}")


def test_repeats_of_a_field_are_bounded(documents: Documents) -> None:
    """One place in the answer may be selected sixteen times, counted through fragments and equal parents."""
    fourfold = f"{STATUS} {{ status ...F0 ...F0 ... {{ status }} }} " * 4 + "} " + fragments(1, "status")
    assert isinstance(documents.load("{ " + fourfold), Document)
    expected = "The document selects a field more than 16 times at one place."
    assert expected == refusal(documents, f"{{ {STATUS} {{ status }} {fourfold}")


def aliased(field: str, times: int) -> str:
    return " ".join([field, *(f"a{number}: {field}" for number in range(times - 1))])


@pytest.mark.parametrize(("field", "most"), [("imageBase64", 2), ("imageUrl", 16)])
def test_pictures_are_bounded(documents: Documents, field: str, most: int) -> None:
    """So many places in the answer, whatever their names, however aliases at several levels multiply."""
    expected = f"An operation asks for {field} at more than {most} places."
    multiplied = f"""
        {{ {aliased(STATUS + " { ...F }", 6)} }}
        fragment F on ImproveSketchStatus {{ {aliased("result { ...G }", 6)} }}
        fragment G on ImproveSketchResult {{ {aliased(field, 6)} }}
    """
    twice = f"{{ {aliased(STATUS + ' { ...F }', 2)} }} fragment F on ImproveSketchStatus {{ result {{ %s }} }}"
    assert expected == refusal(documents, multiplied)
    one_more = f"{{ a: {STATUS} {{ result {{ x: {field} }} }} {(twice % aliased(field, most // 2))[1:]}"
    assert expected == refusal(documents, one_more)
    assert isinstance(documents.load(twice % aliased(field, most // 2)), Document)


def test_a_picture_selected_again_at_its_place_is_one(documents: Documents) -> None:
    """The operation that runs is one of several, too."""
    same = f"{{ {STATUS} {{ ...F result {{ imageBase64 imageBase64 imageBase64 }} ...F }} }} "
    fragment = "fragment F on ImproveSketchStatus { result { imageBase64 } } "
    operations = " ".join(f"query {name} {same}" for name in "ABCDE")
    assert isinstance(documents.load(operations + fragment), Document)


def test_a_fragment_cycle_is_named(documents: Documents) -> None:
    """A cycle is followed once, and left to the rule that explains it."""
    text = "{ ...F0 } " + fragments(2, "...F%N", on="Query").replace("F2", "F0")
    assert "Cannot spread fragment 'F0' within itself via 'F1'." == refusal(documents, text)


ONE = "improveSketch(input: $input) { requestId }"


@pytest.mark.parametrize(
    "selections",
    [
        f"a: {ONE} b: {ONE}",
        f"{ONE} b: improveSketch(input: $input) @include(if: false) {{ requestId }}",
        f"{ONE} ... @skip(if: true) {{ b: {ONE} }}",
        f"{ONE} ... on Mutation {{ ... {{ b: {ONE} }} }}",
        f"{ONE} ...F }} fragment F on Mutation {{ ...G }} fragment G on Mutation {{ b: {ONE}",
    ],
)
def test_an_operation_improves_one_sketch(documents: Documents, selections: str) -> None:
    """A second improveSketch is refused, however it is hidden."""
    text = f"mutation ($input: ImproveSketchInput!) {{ {selections} }}"
    assert "An operation may have only one improveSketch." == refusal(documents, text)


def test_a_document_may_hold_several_mutations(documents: Documents) -> None:
    """Only one operation runs, so each may have its improveSketch."""
    operations = (f"mutation {name}($input: ImproveSketchInput!) {{ {ONE} __typename }}" for name in "AB")
    assert isinstance(documents.load(" ".join(operations)), Document)


FROM_F0 = "{" + STATUS + " { ...F0 } } "
HOSTILE = {
    "equal fields": "{" + " __typename" * 800 + "}",
    "equal fields below equal fields": "{" + (STATUS + "{" + "result { provenance { model } } " * 8 + "}") * 15 + "}",
    "as many as are allowed": "{" + (STATUS + "{ attempt result { title notes } }") * 16 + "}",
    "equal fragments": "{" + STATUS + " {" + spreads(80) + "} } " + fragments(80, "status"),
    "fragment cycle": FROM_F0 + fragments(2, "...F%N").replace("F2", "F0"),
    "fragment of itself": FROM_F0 + "fragment F0 on ImproveSketchStatus { ...F0 status }",
    "fragments doubling": "{ ...F0 } " + fragments(60, "...F%N ... { ...F%N }", on="Query"),
    "fragments all in all": FROM_F0 + fragments(20, spreads(20)),
    "long fragment chain": FROM_F0 + fragments(100, "...F%N"),
    "unused fragments": "{ __typename } " + fragments(12, "status " * 70),
    "deep braces": "{ a " * 400,
    "deep inline fragments": "{ ..." * 300 + "{ __typename }" + "}" * 300,
    "deep lists": "{ a(b: " + "[" * 900,
    "deep objects": "mutation { improveSketch(input: " + "{svg: " * 180 + "1" + "}" * 180 + ") { requestId } }",
    "wide object": "mutation { improveSketch(input: {" + "svg: 1 " * 320 + "}) { requestId } }",
    "unknown fields": "{" + " ".join(f"field{number}" for number in range(900)) + "}",
    "unused variables": "query (" + " ".join(f"$v{number}: Int" for number in range(240)) + ") { __typename }",
    "directives": "{ __typename " + "@include(if: true) " * 160 + "}",
    "operations": " ".join(f"query Q{number} {{ __typename }}" for number in range(199)),
    "comments": "#\n" * 8_000 + "{ __typename }",
    "open strings": '"\n' * 8_000,
    "quotes": '"' * 16_000,
    "backslashes": '"' + "\\" * 4_000,
    "introspection in circles": "{ __schema { types " + "{ fields { type " * 20 + "{ name }" + "} }" * 20 + "} }",
    "control characters": "{ __typename \x00\r\n\x1b }",
    "nothing": "",
    "no operation": "fragment F on Query { __typename }",
    "schema language": "type Query { a: Int } extend type Mutation { b: Int }",
}


MOST_LINES = 1_000_000
"""The lines of Python that a verdict may run, some 70 ms of them: counted, since time depends on other programs."""


def counted(load: Callable[[], object]) -> int:
    """The lines of Python that `load` runs; ends it when there are too many."""
    lines = 0

    def line(_frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines
        lines += event == "line"
        assert lines <= MOST_LINES
        return line

    before = sys.gettrace()
    sys.settrace(line)
    try:
        load()
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
async def test_no_document_keeps_the_process_busy(documents: Documents, text: str) -> None:
    """Whatever the text, the verdict takes a fraction of a second, and the request ends in 200 or 400."""
    assert counted(lambda: documents.load(text)) <= MOST_LINES
    async with TinyService().client() as client:
        response = await client.post("/", json={"query": text}, headers={"accept": GRAPHQL_RESPONSE})
    assert response.status_code in (200, 400)


@pytest.mark.parametrize("words", ['"', '"\n', '"\\', '\\"', '"""a', '"""\\', "#", '#"'])
def test_strings_are_found_in_linear_time(words: str) -> None:
    """The pattern runs no lines that could be counted: in quadratic time, this would not end before the time-out."""
    _literals(words * 200_000)


@pytest.mark.parametrize(
    "text",
    [
        f'mutation {{ improveSketch(input: {{pngBase64: "", variant: "{CANARY}"}}) {{ requestId }} }}',
        f'mutation {{ improveSketch(input: {{svg: "{CANARY}"}}) {{ requestId }} }}',
        f'mutation {{ improveSketch(input: ["{CANARY}"]) {{ requestId }} }}',
        f'query ($a: Int = "{CANARY}") {{ __typename @include(if: $a) }}',
        f'{{ "{CANARY}" }}',
        f'{{ """{CANARY}""" }}',
        f"{{ \"it's '{CANARY}' }}\" }}",
        f'query "{CANARY}" {{ __typename }}',
        f'{{ {STATUS} {{ status }} "{CANARY}',
        f'{{ {STATUS} {{ status @include(if: "{CANARY}") }} }}',
    ],
)
def test_an_error_repeats_no_string_of_the_document(documents: Documents, text: str) -> None:
    """What stands in quotes stays out of the answer."""
    outcome = documents.load(text)
    assert isinstance(outcome, list)
    assert CANARY not in str(outcome)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            'pngBase64: "x", variant: 1.5',
            ".variant' has to be of type 'Int', found a number with a fraction or an exponent",
        ),
        ('pngBase64: "x", variant: 2147483648', ".variant' has to be of type 'Int', found a number beyond 32 bits"),
        ('pngBase64: "x", cache: BAD', ".cache' has to be of type 'CacheUse' (USE, REFRESH, ONLY), found another name"),
        ('pngBase64: "x", cache: "USE"', ".cache' has to be of type 'CacheUse' (USE, REFRESH, ONLY), found a string"),
        ('pngBase64: "x", async: "yes"', ".async' has to be of type 'Boolean', found a string"),
        ('pngBase64: "x", hints: [1]', ".hints' has to be of type 'String', found a list"),
        ("pngBase64: null", ".pngBase64' has to be of type 'String!', found null"),
        ('svg: "x"', ".pngBase64' has to be of type 'String!', found nothing"),
        ('pngBase64: "x", foo: 1', "' has a field 'foo' that type 'ImproveSketchInput' does not define"),
        (f'pngBase64: "x", {"x" * 65}: 1', "' has a field that type 'ImproveSketchInput' does not define"),
    ],
)
def test_a_literal_that_does_not_fit_is_named_by_place_and_type(
    documents: Documents, given: str, expected: str
) -> None:
    """As a variable is, in an argument and in a default; where it stands is told too."""
    for text, place in (
        (f"mutation {{ improveSketch(input: {{{given}}}) {{ requestId }} }}", "Argument 'input"),
        (IMPROVE.replace("ImproveSketchInput!", f"ImproveSketchInput = {{{given}}}"), "Variable '$input"),
    ):
        [error] = documents.load(text)  # type: ignore[misc]
        assert (f"{place}{expected}.", ["message", "locations"]) == (error["message"], list(error))


def test_every_literal_that_does_not_fit_is_told(documents: Documents) -> None:
    """A variable among them is judged with the variables."""
    given = '{pngBase64: $png, variant: "1", async: 0}'
    text = f"mutation ($png: String!) {{ improveSketch(input: {given}) {{ requestId }} }}"
    errors = documents.load(text)
    assert isinstance(errors, list)
    assert [
        "Argument 'input.async' has to be of type 'Boolean', found a number.",
        "Argument 'input.variant' has to be of type 'Int', found a string.",
    ] == [error["message"] for error in errors]


def test_errors_suggest_nothing(documents: Documents) -> None:
    """A near miss does not reveal the field that was meant."""
    assert "Cannot query field 'improveSketchStatu' on type 'Query'." == refusal(documents, "{ improveSketchStatu }")


def test_a_document_is_judged_once(documents: Documents) -> None:
    """The same text is the same document, and the cache is bounded."""
    assert documents.load(IMPROVE) is documents.load("".join(IMPROVE))
    for number in range(2 * MAX_CACHED):
        documents.load(f"query Q{number} {{ __typename }}")
    assert MAX_CACHED == documents._cached.cache_info().currsize
