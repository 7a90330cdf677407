"""Executes as graphql-core does, but takes the leaves of a finished answer as they are.

A resolver here answers a whole tree of dicts. What graphql-core does for each leaf (path, resolve info, default
resolver, four looks for an awaitable) is half of the execution, and a tenth of a status request.
"""

from __future__ import annotations

from types import CoroutineType
from typing import Any, TypeGuard

from graphql import (
    Executor,
    GraphQLEnumType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    Undefined,
    UndefinedType,
)
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import AwaitableOrValue, Path


class LeafExecutor(Executor[Any]):
    def execute_field(
        self,
        parent_type: GraphQLObjectType,
        source: Any,
        field_details_list: FieldDetailsList,
        path: Path,
        position_context: Any,
    ) -> AwaitableOrValue[Any] | UndefinedType:
        """Answer a leaf that is there and fits its type; whatever else there is, graphql-core sees to."""
        if type(source) is dict:
            name = field_details_list[0].node.name.value
            field = parent_type.fields.get(name)
            value = source.get(name)
            if field is not None and field.resolve is None and value is not None:
                leaf = field.type.of_type if isinstance(field.type, GraphQLNonNull) else field.type
                if type(value) is bytes:
                    return value  # a picture: base64 as late as it can be, in `splicing`
                if isinstance(leaf, GraphQLScalarType | GraphQLEnumType):
                    try:
                        coerced = leaf.coerce_output_value(value)
                    except Exception:
                        coerced = Undefined
                    if coerced is not Undefined and coerced is not None:
                        return coerced
        return super().execute_field(parent_type, source, field_details_list, path, position_context)


def is_coroutine(value: Any) -> TypeGuard[CoroutineType[Any, Any, Any]]:
    """Whether graphql-core has to await a value: our resolvers are coroutine functions, if they are not plain ones."""
    return isinstance(value, CoroutineType)
