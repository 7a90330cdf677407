"""Which fields an operation asks for, so that what nobody asked for is never read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graphql import FieldNode, FragmentSpreadNode, GraphQLResolveInfo, InlineFragmentNode, SelectionSetNode


def selects(info: GraphQLResolveInfo[Any], *path: str) -> bool:
    """Whether the field being resolved selects `path` below it; @skip and @include count as selected."""
    level: list[SelectionSetNode | None] = [node.selection_set for node in info.field_nodes]
    for name in path:
        found = [node for selections in level for node in _fields(info, selections) if node.name.value == name]
        if not found:
            return False
        level = [node.selection_set for node in found]
    return True


def _fields(info: GraphQLResolveInfo[Any], selections: SelectionSetNode | None) -> Iterator[FieldNode]:
    for node in selections.selections if selections else ():
        match node:
            case FieldNode():
                yield node
            case InlineFragmentNode():
                yield from _fields(info, node.selection_set)
            case FragmentSpreadNode():
                yield from _fields(info, info.fragments[node.name.value].selection_set)
