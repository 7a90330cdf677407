"""Parses and checks GraphQL documents, and caches the result by the document's text."""

from __future__ import annotations

import functools
import re

from complexity import check_complexity
from graphql import (
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLFormattedError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    ValuesOfCorrectTypeRule,
    parse,
    specified_rules,
    validate,
)
from graphql.execution.values import VariableValues
from graphql.validation import ASTValidationRule
from literals import ValuesOfCorrectType
from plan import Plan, Planner

MAX_DOCUMENT_BYTES = 16 * 1024
MAX_LITERAL_CHARACTERS = 4 * 1024
MAX_TOKENS = 1_000
MAX_ERRORS = 10
# Parse and validate take 1.3 ms, the lookup 0.5 µs; a document at every limit holds half a MiB.
MAX_CACHED = 32

_IN_VARIABLES = "Send images in variables, not in the document."
# Comments first, so that a quote in a comment opens no string. Possessive, with an optional end: linear on any text.
_LITERAL = re.compile(r'#[^\r\n]*+|"""(?:[^"\\]|\\(?:""")?|"(?!""))*+(?:""")?|"(?:[^"\\\r\n]|\\[^\r\n])*+"?')
_STRING_TOKEN = re.compile(r"\b(String|BlockString) '.*'", re.DOTALL)


class Operation:
    """One operation of a document that has passed every check, and its plan."""

    def __init__(self, node: OperationDefinitionNode, planner: Planner, *, conditional: bool) -> None:
        self.node, self._planner, self._conditional = node, planner, conditional
        self._plan: Plan | None = None

    def plan(self, variables: VariableValues) -> Plan:
        """Return its plan: always the same one, unless a @skip or @include has to be evaluated."""
        if self._plan is None or self._conditional:
            self._plan = self._planner.plan(self.node, variables)
        return self._plan


class Document:
    """A document that has passed every check: its operations by name."""

    def __init__(self, operations: dict[str | None, Operation]) -> None:
        self._operations = operations
        self._only = next(iter(operations.values())) if len(operations) == 1 else None

    def operation(self, name: str | None) -> Operation | None:
        """Return the operation of this name; without a name, the only one."""
        return self._only if name is None and self._only else self._operations.get(name)


class Documents:
    """The documents of this process.

    Errors show clients no suggestions ("Did you mean …") and no contents of string literals.
    """

    def __init__(self, schema: GraphQLSchema, *, introspection: bool) -> None:
        self._schema = schema
        rules: list[type[ASTValidationRule]] = [
            ValuesOfCorrectType if rule is ValuesOfCorrectTypeRule else rule for rule in specified_rules
        ]
        if not introspection:
            rules.append(NoSchemaIntrospectionCustomRule)
        self._rules = tuple(rules)
        self._cached = functools.lru_cache(maxsize=MAX_CACHED)(self._check)

    def load(self, text: str) -> Document | list[GraphQLFormattedError]:
        """Return the document, or the errors for which it is refused."""
        # Before the lookup: a text that is too long is not worth hashing.
        if len(text) > MAX_DOCUMENT_BYTES:
            return [_too_long()]
        return self._cached(text)

    def _check(self, text: str) -> Document | list[GraphQLFormattedError]:
        if len(text.encode()) > MAX_DOCUMENT_BYTES:
            return [_too_long()]
        if any(len(literal) > MAX_LITERAL_CHARACTERS for literal in _literals(text)):
            return [{"message": f"A string is longer than {MAX_LITERAL_CHARACTERS:,} characters. {_IN_VARIABLES}"}]
        try:
            node = parse(text, max_lexical_tokens=MAX_TOKENS)
            check_complexity(node)
        except GraphQLError as error:
            return [{**error.formatted, "message": _STRING_TOKEN.sub(r"\1", error.message)}]
        errors = validate(self._schema, node, self._rules, max_errors=MAX_ERRORS, hide_suggestions=True)
        if errors:
            return [error.formatted for error in errors]
        fragments = (each for each in node.definitions if isinstance(each, FragmentDefinitionNode))
        planner = Planner(self._schema, {each.name.value: each for each in fragments})
        operations = (each for each in node.definitions if isinstance(each, OperationDefinitionNode))
        return Document(
            {
                each.name.value if each.name else None: Operation(each, planner, conditional="@" in text)
                for each in operations
            }
        )


def _literals(text: str) -> list[str]:
    return [match for match in _LITERAL.findall(text) if match.startswith('"')]


def _too_long() -> GraphQLFormattedError:
    return {"message": f"The document is longer than {MAX_DOCUMENT_BYTES // 1024} KiB. {_IN_VARIABLES}"}
