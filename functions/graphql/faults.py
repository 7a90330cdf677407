"""What a client is told of an error: a deliberate error as it is, any other by its trace id alone."""

from __future__ import annotations

from collections.abc import Callable

from graphql import GraphQLError, GraphQLFormattedError

OnFault = Callable[[Exception], str]
"""Logs an unexpected exception, and returns the trace id by which to find it."""


def presented(error: GraphQLError, on_fault: OnFault) -> GraphQLFormattedError:
    """Return an error that has a code as it is, and any other as an internal error."""
    cause = error.original_error or error
    if isinstance(cause, GraphQLError):
        if "code" in (cause.extensions or {}):
            return error.formatted
        if cause.message.startswith("Argument '"):
            # Validation lets only one case through: a variable that has a default and was sent as null.
            return {**error.formatted, "message": "An argument does not fit its type."}
    return {**error.formatted, **internal_error(on_fault(cause))}


def internal_error(trace: str) -> GraphQLFormattedError:
    """Return what a client is told about a fault of ours."""
    return {"message": "Internal error", "extensions": {"code": "INTERNAL", "trace": trace}}
