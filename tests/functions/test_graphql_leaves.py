"""Leaves that are taken as they are: the same answers and errors as graphql-core's own execution."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import ExecutionResult, Executor, build_schema, parse

from tests.functions.tiny_graphql import leaves

SCHEMA = build_schema(
    """enum Colour { red green }
    type Query {
      text: String  words: String!  count: Int  part: Float  there: Boolean  colour: Colour
      list: [String!]  below: Query
    }"""
)
DOCUMENT = parse(
    "{ __typename text w: words count part there colour list below { words count } again: text @include(if: true) }"
)


@pytest.mark.parametrize(
    "root",
    [
        {"text": "a", "words": "b", "count": 3, "part": 0.5, "there": False, "colour": "green", "list": ("c",)},
        {"text": "", "words": "b", "count": 0, "part": 1, "below": {"words": "deep", "count": 2}},
        {"text": 7, "words": True, "count": 2**40, "there": "yes", "colour": "blue"},
        {"words": "b", "below": {"count": "no number"}},
        {"count": 1},
        {"words": ValueError("a failure in place of a value")},
        {"words": lambda *_: "called", "text": lambda *_: 1 / 0},
    ],
)
def test_leaves_are_what_graphql_core_answers(root: dict[str, Any]) -> None:
    """Whether they fit or do not, are absent, are failures, or are still to be called."""
    assert answered(Executor, root) == answered(leaves.LeafExecutor, root)


def answered(kind: type[Executor[Any]], root: dict[str, Any]) -> tuple[Any, list[Any]]:
    executor = kind.build(SCHEMA, DOCUMENT, root, is_awaitable=leaves.is_coroutine)
    assert isinstance(executor, kind)
    result = executor.execute_operation()
    assert isinstance(result, ExecutionResult)
    return result.data, [error.formatted for error in result.errors or ()]
