"""Coerces variables. Errors name the path and the type of a misfit, never its value, which may be a whole sketch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLError,
    GraphQLFormattedError,
    GraphQLInputType,
    GraphQLInt,
    GraphQLNamedInputType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
    OperationDefinitionNode,
    Undefined,
    get_nullable_type,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_required_input_field,
    type_from_ast,
)
from graphql.execution.values import VariableValues, get_variable_values

MAX_ERRORS = 10
MAX_NAME_CHARACTERS = 64
OUT_OF_RANGE = " beyond 32 bits"

_NONE = VariableValues({}, {})


def coerce(
    schema: GraphQLSchema, operation: OperationDefinitionNode, variables: dict[str, Any]
) -> VariableValues | list[GraphQLFormattedError]:
    """Return the coerced variables, and drop those that were sent; or return at least one error."""
    definitions = operation.variable_definitions
    if not definitions:
        variables.clear()
        return _NONE
    # First, as graphql-core reads all of a value to write it into messages that we do not use.
    if errors := _errors(schema, operation, variables):
        return errors
    coerced = get_variable_values(schema, definitions, variables, max_errors=1, hide_suggestions=True)
    if isinstance(coerced, list):
        return [{"message": "The variables do not fit the types that the operation declares."}]
    # Only the coerced copy stays: a resolver that drops the sketch from its input thereby frees its memory.
    coerced.sources.clear()
    variables.clear()
    return coerced


def misfit(place: str, type_: GraphQLInputType, found: str) -> str:
    """Return the sentence for a value of the wrong type at a place in a variable or an argument."""
    named = type_.of_type if is_non_null_type(type_) else type_
    allowed = f" ({', '.join(named.values)})" if isinstance(named, GraphQLEnumType) else ""
    return f"{place} has to be of type '{type_}'{allowed}, found {found}."


def stranger(place: str, type_: GraphQLNamedInputType, name: str) -> str:
    """Return the sentence for a field that the type of its object does not define."""
    known = f" '{name}'" if name.isidentifier() and len(name) <= MAX_NAME_CHARACTERS else ""
    return f"{place} has a field{known} that type '{type_}' does not define."


def kind(value: Any) -> str:
    """Name the JSON type of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case dict():
            return "an object"
    return "nothing"


def _errors(
    schema: GraphQLSchema, operation: OperationDefinitionNode, variables: dict[str, Any]
) -> list[GraphQLFormattedError]:
    """Return errors for what graphql-core would refuse, without the values."""
    errors: list[GraphQLFormattedError] = []
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        value = variables.get(name, Undefined)
        if value is Undefined and definition.default_value is not None:
            continue
        type_: Any = type_from_ast(schema, definition.type)
        for told in _misfits(value, type_, f"${name}"):
            errors.append(GraphQLError(told, definition).formatted)
            if len(errors) == MAX_ERRORS:
                return errors
    return errors


def _misfits(value: Any, declared: GraphQLInputType, path: str) -> Iterator[str]:
    """Yield one sentence for each place at or below this path that does not fit."""
    type_ = declared.of_type if is_non_null_type(declared) else declared
    if value is None or value is Undefined:
        if is_non_null_type(declared):
            yield _misfit(value, declared, path)
    elif is_list_type(type_):
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            yield from _misfits(item, type_.of_type, f"{path}[{index}]")
    elif is_input_object_type(type_) and isinstance(value, dict):
        for name, field in type_.fields.items():
            if name in value or is_required_input_field(field):
                yield from _misfits(value.get(name, Undefined), field.type, f"{path}.{name}")
        for name in value:
            if name not in type_.fields:
                yield stranger(f"Variable '{path}'", type_, name)
    elif not (is_leaf_type(type_) and _is_leaf(value, type_)):
        yield _misfit(value, declared, path)


def _is_leaf(value: Any, type_: GraphQLScalarType | GraphQLEnumType) -> bool:
    # Only numbers and booleans go to graphql-core, which writes a misfit into its error, and compares it with an enum.
    if isinstance(type_, GraphQLEnumType):
        return isinstance(value, str) and value in type_.values
    if type_ is GraphQLString or isinstance(value, str | list | dict):
        return type_ is GraphQLString and isinstance(value, str)
    try:
        return type_.coerce_input_value(value) is not Undefined
    except Exception:  # whatever a scalar raises: its text repeats the value
        return False


def _misfit(value: Any, type_: GraphQLInputType, path: str) -> str:
    found = kind(value)
    if found == "a number" and get_nullable_type(type_) is GraphQLInt:
        found += " with a fraction" if value % 1 else OUT_OF_RANGE
    return misfit(f"Variable '{path}'", type_, found)
