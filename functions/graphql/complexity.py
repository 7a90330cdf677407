"""Bounds what a parsed document may ask for, before validation, which compares fields in pairs."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    SelectionSetNode,
)

MAX_DEPTH = 8
MAX_ALIASES = 15
MAX_REPEATS = 16  # of one field at one place, fragments followed: 800 equal fields take a second to compare
MAX_PICTURES = {"imageBase64": 2, "imageUrl": 16}
"""In one operation, fragments followed and directives ignored: aliases at each level multiply.

A picture is a megabyte, an address costs a command to Redis.
"""
MAX_SELECTIONS = 3_000  # fragments followed: the introspection query of the usual tools has 400, at its deepest 1,600


class Field:
    """One place in the answer: how often it is selected, and the places below it."""

    __slots__ = ("below", "times")

    def __init__(self) -> None:
        self.times = 0
        self.below: dict[str, Field] = {}


class Scope(NamedTuple):
    """One selection set, and how it was reached."""

    selection_set: SelectionSetNode
    depth: int
    fields: dict[str, Field]
    spreads: tuple[str, ...] = ()
    introspection: bool = False


def check_complexity(document: DocumentNode) -> None:
    """Raise GraphQLError when the document is too deep, too wide, or has two mutations in one operation."""
    _Walk(document).run()


class _Walk:
    """Visits every selection of every definition, following fragments, and stops at the first excess."""

    def __init__(self, document: DocumentNode) -> None:
        self.definitions = document.definitions
        self.fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self.selections = 0
        self.pictures: Counter[str] = Counter()
        self.aliased: set[int] = set()

    def run(self) -> None:
        for definition in self.definitions:
            if isinstance(definition, OperationDefinitionNode):
                self.visit(Scope(definition.selection_set, 1, {}), definition)
            elif isinstance(definition, FragmentDefinitionNode):
                of_introspection = definition.type_condition.name.value.startswith("__")
                self.visit(Scope(definition.selection_set, 1, {}, introspection=of_introspection), definition)

    def visit(self, root: Scope, definition: OperationDefinitionNode | FragmentDefinitionNode) -> None:
        mutates = isinstance(definition, OperationDefinitionNode) and definition.operation is OperationType.MUTATION
        mutations = 0
        self.pictures.clear()
        stack = [root]
        while stack:
            scope = stack.pop()
            for selection in scope.selection_set.selections:
                self.count(selection)
                if isinstance(selection, FieldNode) and mutates and scope.depth == 1:
                    mutations += selection.name.value != "__typename"
                    if mutations > 1:
                        raise GraphQLError(f"An operation may have only one {selection.name.value}.", selection)
                below = self.enter(selection, scope)
                if below is not None:
                    stack.append(below)

    def count(self, selection: SelectionNode) -> None:
        self.selections += 1
        if self.selections > MAX_SELECTIONS:
            raise GraphQLError(f"The document selects more than {MAX_SELECTIONS:,} fields.", selection)
        if isinstance(selection, FieldNode) and selection.alias is not None:
            self.aliased.add(id(selection))
            if len(self.aliased) > MAX_ALIASES:
                raise GraphQLError(f"The document has more than {MAX_ALIASES} aliases.", selection)

    def enter(self, selection: SelectionNode, scope: Scope) -> Scope | None:
        """Return the selection set below, if there is one that is not being visited already."""
        if isinstance(selection, FieldNode):
            return self.enter_field(selection, scope)
        if isinstance(selection, InlineFragmentNode):
            return scope._replace(selection_set=selection.selection_set)
        if isinstance(selection, FragmentSpreadNode):
            name = selection.name.value
            if name in self.fragments and name not in scope.spreads:
                return scope._replace(selection_set=self.fragments[name].selection_set, spreads=(*scope.spreads, name))
        return None

    def enter_field(self, selection: FieldNode, scope: Scope) -> Scope | None:
        field = scope.fields.setdefault((selection.alias or selection.name).value, Field())
        field.times += 1
        if field.times > MAX_REPEATS:
            raise GraphQLError(f"The document selects a field more than {MAX_REPEATS} times at one place.", selection)
        if field.times == 1 and (most := MAX_PICTURES.get(name := selection.name.value)):
            self.pictures[name] += 1
            if self.pictures[name] > most:
                raise GraphQLError(f"An operation asks for {name} at more than {most} places.", selection)
        if scope.depth > MAX_DEPTH and not scope.introspection:
            raise GraphQLError(f"The document is nested deeper than {MAX_DEPTH} levels.", selection)
        if selection.selection_set is None:
            return None
        return Scope(
            selection.selection_set,
            scope.depth + 1,
            field.below,
            scope.spreads,
            scope.introspection or selection.name.value in ("__schema", "__type"),
        )
