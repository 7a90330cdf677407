"""Executes an operation, or each event of one, to JSON: no picture outlives its answer, no fault shows its text."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, cast

import orjson
from coercion import coercion_errors
from documents import Document
from graphql import (
    ExecutionResult,
    Executor,
    GraphQLError,
    GraphQLFormattedError,
    GraphQLSchema,
    OperationDefinitionNode,
    create_source_event_stream,
)
from leaves import LeafExecutor, is_coroutine
from rubydraw.errors import Stopping
from splicing import Pieces, pieces

OnFault = Callable[[Exception], str]
"""Logs an exception that nobody expected, and answers the trace id by which to find it."""


async def execute(
    schema: GraphQLSchema,
    document: Document,
    operation: OperationDefinitionNode,
    variables: dict[str, Any],
    context: Any,
    on_fault: OnFault,
) -> Pieces | list[GraphQLFormattedError]:
    """Answer the response as JSON, or the errors of variables that do not fit: then nothing was executed."""
    executor = _executor(schema, document, operation, variables, context)
    if isinstance(executor, list):
        return executor
    return await _executed(executor, on_fault)


def subscribe(
    schema: GraphQLSchema,
    document: Document,
    operation: OperationDefinitionNode,
    variables: dict[str, Any],
    context: Any,
    on_fault: OnFault,
) -> AsyncGenerator[bytes] | list[GraphQLFormattedError]:
    """Answer a response as JSON for each event, or the errors of variables that do not fit; nothing is begun yet.

    An error of the source is the last response; Stopping is not one of its errors and is passed on.
    """
    executor = _executor(schema, document, operation, variables, context)
    return executor if isinstance(executor, list) else _responses(executor, on_fault)


async def _responses(executor: Executor[Any], on_fault: OnFault) -> AsyncGenerator[bytes]:
    try:
        created = create_source_event_stream(executor)
        source = await created if inspect.isawaitable(created) else created
        if isinstance(source, ExecutionResult):
            yield orjson.dumps({"errors": [_presented(error, on_fault) for error in source.errors or ()]})
            return
        async with aclosing(cast("AsyncGenerator[Any]", source)):
            async for event in source:
                yield b"".join(await _executed(executor.build_per_event_executor(event), on_fault))
    except Stopping:
        raise
    except Exception as error:
        yield _last(error, on_fault)
    finally:
        executor.async_helpers = cast("Any", None)


def _last(error: Exception, on_fault: OnFault) -> bytes:
    """Answer what a client is told of an error of the source itself."""
    located = error if isinstance(error, GraphQLError) else GraphQLError("", original_error=error)
    told = orjson.dumps({"errors": [_presented(located, on_fault)]})
    error.__traceback__ = None  # it leads back to whoever holds it
    return told


def _executor(
    schema: GraphQLSchema,
    document: Document,
    operation: OperationDefinitionNode,
    variables: dict[str, Any],
    context: Any,
) -> Executor[Any] | list[GraphQLFormattedError]:
    """Answer what executes an operation, or the errors of its variables."""
    name = operation.name.value if operation.name else None
    executor = LeafExecutor.build(
        schema, document.node, None, context, variables, name,
        max_coercion_errors=1, is_awaitable=is_coroutine, hide_suggestions=True,
    )  # fmt: skip
    if isinstance(executor, list):
        return coercion_errors(schema, operation, variables)
    # The coerced copy alone stays: a resolver that drops the sketch from its input has dropped it for good.
    executor.variable_values.sources.clear()
    variables.clear()
    return executor


async def _executed(executor: Executor[Any], on_fault: OnFault) -> Pieces:
    outcome = executor.execute_operation()
    result = cast("ExecutionResult", await outcome if inspect.isawaitable(outcome) else outcome)
    try:
        return _serialized(result, on_fault)
    finally:
        _release(executor, result)


def _serialized(result: ExecutionResult, on_fault: OnFault) -> Pieces:
    if not result.errors:
        return pieces({"data": result.data})
    return pieces({"errors": [_presented(error, on_fault) for error in result.errors], "data": result.data})


def _presented(error: GraphQLError, on_fault: OnFault) -> GraphQLFormattedError:
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


def _release(executor: Executor[Any], result: ExecutionResult) -> None:
    """Break the reference cycles: the executor's helpers lead back to it, an error to the frames it passed.

    What they hold would stay until the collector runs: at 1.4 MB an answer, 190 MiB and 29 % of the CPU.
    """
    executor.async_helpers = cast("Any", None)
    for error in result.errors or ():
        error.__traceback__ = None
        if error.original_error:
            error.original_error.__traceback__ = None
