"""Validates the literals of a document, and describes a misfit as `coercion` does for a variable."""

from __future__ import annotations

import functools
from typing import Any

from coercion import OUT_OF_RANGE, misfit, stranger
from graphql import (
    SKIP,
    ArgumentNode,
    EnumValueNode,
    FloatValueNode,
    GraphQLEnumType,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInt,
    IntValueNode,
    Node,
    ObjectFieldNode,
    ObjectValueNode,
    ValueNode,
    ValuesOfCorrectTypeRule,
    VariableDefinitionNode,
    get_named_type,
    get_nullable_type,
    is_required_input_field,
)
from graphql.language import VisitorAction
from graphql.utilities import validate_input_literal

_KINDS = {
    "null_value": "null", "boolean_value": "a boolean", "int_value": "a number", "float_value": "a number",
    "string_value": "a string", "enum_value": "a name", "list_value": "a list", "object_value": "an object",
}  # fmt: skip


class ValuesOfCorrectType(ValuesOfCorrectTypeRule):
    """Names place and type in an error, where the rule of graphql-core repeats the literal."""

    _place = ""

    def enter_argument(self, node: ArgumentNode, *_: Any) -> None:
        self._place = f"Argument '{node.name.value}"

    def enter_variable_definition(self, node: VariableDefinitionNode, *_: Any) -> None:
        self._place = f"Variable '${node.variable.name.value}"

    def is_valid_value_node(self, node: ValueNode, input_type: GraphQLInputType | None) -> VisitorAction:
        if input_type:
            tell = functools.partial(self._tell, node, input_type)
            validate_input_literal(node, input_type, tell, hide_suggestions=True)
        return SKIP

    def _tell(self, whole: ValueNode, whole_type: GraphQLInputType, error: GraphQLError, path: list[str | int]) -> None:
        node, type_ = (error.nodes or [whole])[0], _type_at(path, whole_type)
        place = self._place + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
        # The node of a list that does not fit is a copy without a location.
        at = node if node.loc else whole
        for sentence in _sentences(node, type_, place):
            self.report_error(GraphQLError(sentence, at))


def _sentences(node: Node, type_: Any, place: str) -> list[str]:
    named: Any = get_named_type(type_)
    if isinstance(node, ObjectFieldNode):
        return [stranger(f"{place}'", named, node.name.value)]
    if isinstance(node, ObjectValueNode) and isinstance(named, GraphQLInputObjectType):
        given = {field.name.value for field in node.fields}
        return [
            misfit(f"{place}.{name}'", field.type, "nothing")
            for name, field in named.fields.items()
            if is_required_input_field(field) and name not in given
        ]
    return [misfit(f"{place}'", type_, _kind(node, named))]


def _type_at(path: list[str | int], type_: Any) -> Any:
    """Return the type of what is at a path below a value of this type."""
    for step in path:
        in_list = isinstance(step, int)
        type_ = get_nullable_type(type_).of_type if in_list else get_named_type(type_).fields[step].type
    return type_


def _kind(node: Node, type_: Any) -> str:
    match node:
        case IntValueNode() if type_ is GraphQLInt:
            return f"a number{OUT_OF_RANGE}"
        case FloatValueNode() if type_ is GraphQLInt:
            return "a number with a fraction or an exponent"
        case EnumValueNode() if isinstance(type_, GraphQLEnumType):
            return "another name"
    return _KINDS[node.kind]
