"""The contract: `schema.graphql` with its resolvers."""

from __future__ import annotations

from pathlib import Path

from graphql import GraphQLObjectType, GraphQLSchema, build_schema
from resolvers import Resolvers


def bound_schema(resolvers: Resolvers) -> GraphQLSchema:
    """Return the schema; its other fields are read from the answers of these resolvers."""
    # The tests check that the schema is valid: here the check would be a third of the time of the first request.
    contract = (Path(__file__).parent / "schema.graphql").read_text("utf-8")
    schema = build_schema(contract, assume_valid=True, no_location=True)
    for kind, name, resolve in (
        (schema.mutation_type, "improveSketch", resolvers.improve_sketch),
        (schema.query_type, "improveSketchStatus", resolvers.status),
        (schema.subscription_type, "improveSketchStatus", lambda words, *_, **__: words),
        (schema.get_type("ImproveSketchResult"), "imageUrl", resolvers.image_url),
    ):
        assert isinstance(kind, GraphQLObjectType)  # noqa: S101 - the contract has them all
        kind.fields[name].resolve = resolve
    assert schema.subscription_type is not None  # noqa: S101
    schema.subscription_type.fields["improveSketchStatus"].subscribe = resolvers.statuses
    return schema
