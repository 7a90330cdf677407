"""What a client is told of an error: what was said on purpose as it is, anything else by its trace alone."""

from __future__ import annotations

from collections.abc import Callable

from graphql import GraphQLError, GraphQLFormattedError

OnFault = Callable[[Exception], str]
"""Logs an exception that nobody expected, and answers the trace id by which to find it."""


def presented(error: GraphQLError, on_fault: OnFault) -> GraphQLFormattedError:
    """Answer an error with a code as it is, and anything else as an internal one."""
    cause = error.original_error or error
    if isinstance(cause, GraphQLError):
        if "code" in (cause.extensions or {}):
            return error.formatted
        if cause.message.startswith("Argument '"):
            # Only a variable with a default that is sent as null gets past validation to here.
            return {**error.formatted, "message": "An argument does not fit its type."}
    return {**error.formatted, **internal_error(on_fault(cause))}


def internal_error(trace: str) -> GraphQLFormattedError:
    """Answer what a client is told about a fault of ours."""
    return {"message": "Internal error", "extensions": {"code": "INTERNAL", "trace": trace}}
