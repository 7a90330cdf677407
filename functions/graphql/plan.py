"""Plans: which fields an operation asks of each type, in the order of the answer."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLBoolean,
    GraphQLField,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLString,
    OperationDefinitionNode,
    get_named_type,
)
from graphql.execution.collect_fields import (
    FieldDetailsList,
    FragmentDetails,
    GroupedFieldSet,
    collect_fields,
    collect_subfields,
)
from graphql.execution.values import VariableValues

_AS_IT_IS: dict[GraphQLOutputType, type] = {GraphQLString: str, GraphQLBoolean: bool}


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """
    One field of an answer, and what is selected below it.

    `fixed`: its answer, if that is always the same: only for `__typename`, as no type here is abstract.
    `plain`: the Python type whose values go into the answer as they are. `awaits_below`: whether a field below it has
    to be awaited. Only root fields, and fields directly below one with `awaits_below`, are awaited themselves.
    """

    key: str
    name: str
    nodes: list[FieldNode]
    parent: GraphQLObjectType
    definition: GraphQLField
    below: tuple[Planned, ...]
    fixed: str | None
    plain: type | None
    awaits_below: bool

    @property
    def awaits(self) -> bool:
        """Whether this field, or one below it, has to be awaited."""
        return self.awaits_below or inspect.iscoroutinefunction(self.definition.resolve)

    @property
    def type(self) -> GraphQLOutputType:
        return self.definition.type

    def selects(self, *path: str) -> bool:
        """Whether the operation selects `path` below this field, after @skip and @include."""
        level: Plan = (self,)
        for name in path:
            level = tuple(below for each in level for below in each.below if below.name == name)
        return bool(level)


Plan = tuple[Planned, ...]


class Planner:
    """Makes the plans of one document, with graphql-core's own collection of fields (spec, 6.3.2)."""

    def __init__(self, schema: GraphQLSchema, fragments: dict[str, FragmentDefinitionNode]) -> None:
        self._schema = schema
        self._fragments = {name: FragmentDetails(node) for name, node in fragments.items()}

    def plan(self, operation: OperationDefinitionNode, variables: VariableValues) -> Plan:
        """Plan an operation of a valid document; `variables` decide its @skip and @include."""
        root = self._schema.get_root_type(operation.operation)
        assert root is not None  # noqa: S101 - the document is valid
        collected = collect_fields(self._schema, self._fragments, variables, root, operation)
        return self._below(operation, variables, root, collected.grouped_field_set)

    def _below(
        self,
        operation: OperationDefinitionNode,
        variables: VariableValues,
        parent: GraphQLObjectType,
        grouped: GroupedFieldSet,
    ) -> Plan:
        return tuple(self._planned(operation, variables, parent, *each) for each in grouped.items())

    def _planned(
        self,
        operation: OperationDefinitionNode,
        variables: VariableValues,
        parent: GraphQLObjectType,
        key: str,
        details: FieldDetailsList,
    ) -> Planned:
        name = details[0].node.name.value
        definition = self._schema.get_field(parent, name)
        assert definition is not None  # noqa: S101
        named = get_named_type(definition.type)
        below: Plan = ()
        if isinstance(named, GraphQLObjectType):
            collected = collect_subfields(self._schema, self._fragments, variables, operation, named, details)
            below = self._below(operation, variables, named, collected.grouped_field_set)
        type_ = definition.type.of_type if isinstance(definition.type, GraphQLNonNull) else definition.type
        return Planned(
            key, name, [each.node for each in details], parent, definition, below,
            fixed=parent.name if name == "__typename" else None,
            plain=None if definition.resolve else _AS_IT_IS.get(type_),
            awaits_below=any(each.awaits for each in below),
        )  # fmt: skip
