"""Executes a planned operation (spec, 6): no picture outlives its answer, and no client sees the text of a fault."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Any, NamedTuple

from coercion import coerce
from documents import Operation
from faults import OnFault, presented
from graphql import (
    GraphQLError,
    GraphQLFormattedError,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLString,
    located_error,
)
from graphql.execution.values import VariableValues, get_argument_values
from graphql.pyutils import is_iterable
from plan import Plan, Planned
from rubydraw.errors import Stopping
from splicing import Pieces, pieces

Path = tuple[str | int, ...]


class Info(NamedTuple):
    """What a resolver is given: the schema, the context of the operation, and what is selected below its field."""

    schema: GraphQLSchema
    context: Any
    field: Planned


async def execute(
    schema: GraphQLSchema, operation: Operation, variables: dict[str, Any], context: Any, on_fault: OnFault
) -> Pieces | list[GraphQLFormattedError]:
    """Return the response as JSON, or the errors of variables that do not fit: then nothing was executed."""
    begun = _begun(schema, operation, variables, context, on_fault)
    if isinstance(begun, list):
        return begun
    execution, plan = begun
    return await execution.response(plan)


def subscribe(
    schema: GraphQLSchema, operation: Operation, variables: dict[str, Any], context: Any, on_fault: OnFault
) -> AsyncGenerator[Pieces] | list[GraphQLFormattedError]:
    """Return a response as JSON for each event, or the errors of variables that do not fit; nothing is begun yet.

    An error of the source becomes the last response, except for Stopping, which is passed on.
    """
    begun = _begun(schema, operation, variables, context, on_fault)
    return begun if isinstance(begun, list) else _responses(*begun)


def _begun(
    schema: GraphQLSchema, operation: Operation, variables: dict[str, Any], context: Any, on_fault: OnFault
) -> tuple[_Execution, Plan] | list[GraphQLFormattedError]:
    coerced = coerce(schema, operation.node, variables)
    if isinstance(coerced, list):
        return coerced
    try:
        plan = operation.plan(coerced)
    except GraphQLError as error:  # a directive's condition is a variable that has a default and was sent as null
        return [presented(error, on_fault)]
    return _Execution(schema, context, coerced, on_fault), plan


async def _responses(execution: _Execution, plan: Plan) -> AsyncGenerator[Pieces]:
    [field] = plan  # a valid document subscribes to one
    try:
        source = execution.source(field)
        async with aclosing(source):
            async for event in source:
                yield await execution.response(plan, event)
    except Stopping:
        raise
    except Exception as error:
        yield execution.last(error)


class _Execution:
    """One operation, or one subscription, that is being executed."""

    def __init__(self, schema: GraphQLSchema, context: Any, variables: VariableValues, on_fault: OnFault) -> None:
        self._schema, self._context, self._variables, self._on_fault = schema, context, variables, on_fault
        self._errors: list[GraphQLError] = []

    async def response(self, plan: Plan, source: Any = None) -> Pieces:
        """Return the data and the errors of all root fields."""
        data: dict[str, Any] | None
        try:
            data = await self._root(plan, source)
        except GraphQLError as error:
            self._errors.append(error)
            data = None
        try:
            if not self._errors:
                return pieces({"data": data})
            return pieces({"errors": [presented(error, self._on_fault) for error in self._errors], "data": data})
        finally:
            self._release()

    def source(self, field: Planned) -> AsyncGenerator[Any]:
        """Return the events of a subscription; raise GraphQLError."""
        try:
            assert field.definition.subscribe is not None  # noqa: S101 - every subscription here has one
            source: AsyncGenerator[Any] = self._called(field.definition.subscribe, field, None)
        except Exception as error:
            raise located_error(error, field.nodes, [field.key]) from None
        return source

    def last(self, error: Exception) -> Pieces:
        """Return the last response of a subscription whose source has failed."""
        located = error if isinstance(error, GraphQLError) else GraphQLError("", original_error=error)
        told = pieces({"errors": [presented(located, self._on_fault)]})
        error.__traceback__ = None  # it leads back to the frames that hold the error
        return told

    async def _root(self, plan: Plan, source: Any) -> dict[str, Any]:
        """Resolve the root fields: those of a query concurrently; a mutation has only one."""
        if len(plan) == 1:
            [field] = plan
            return {field.key: await self._awaited(field, source, ())}
        answers = await asyncio.gather(*(self._settled(each, source) for each in plan))
        for answer in answers:
            if isinstance(answer, GraphQLError):
                raise answer
        return {field.key: answer for field, answer in zip(plan, answers, strict=True)}

    async def _settled(self, field: Planned, source: Any) -> Any:
        """Return an error as a value: a task that fails holds its frames, and so a picture, for longer."""
        try:
            return await self._awaited(field, source, ())
        except GraphQLError as error:
            return error

    async def _awaited(self, field: Planned, source: Any, path: Path) -> Any:
        """Resolve and complete a field whose answer may have to be awaited."""
        if field.fixed:
            return field.fixed
        try:
            value = self._resolved(field, source)
            if inspect.iscoroutine(value):
                value = await value
            if field.awaits_below and isinstance(value, dict):
                return {each.key: await self._awaited(each, value, (*path, field.key)) for each in field.below}
            return self._completed(field, field.type, value, (*path, field.key))
        except Exception as error:
            self._fail(field, error, path)
            return None

    def _object(self, plan: Plan, source: Any, path: Path) -> dict[str, Any]:
        """Complete an object, none of whose fields has to be awaited."""
        answer: dict[str, Any] = {}
        for field in plan:
            if field.plain and type(value := source.get(field.name)) is field.plain:
                answer[field.key] = value
                continue
            if field.fixed:
                answer[field.key] = field.fixed
                continue
            try:
                at = (*path, field.key)
                answer[field.key] = self._completed(field, field.type, self._resolved(field, source), at)
            except Exception as error:
                self._fail(field, error, path)
                answer[field.key] = None
        return answer

    def _resolved(self, field: Planned, source: Any) -> Any:
        if resolve := field.definition.resolve:
            return self._called(resolve, field, source)
        return source.get(field.name)

    def _called(self, resolve: Callable[..., Any], field: Planned, source: Any) -> Any:
        arguments: dict[str, Any] = {}
        if field.definition.args:
            arguments = get_argument_values(field.definition, field.nodes[0], self._variables, hide_suggestions=True)
            if field.parent is self._schema.mutation_type:  # its one field has them all: what it drops is free
                self._variables.coerced.clear()
        return resolve(source, Info(self._schema, self._context, field), **arguments)

    def _completed(self, field: Planned, type_: GraphQLOutputType, value: Any, path: Path) -> Any:
        """Complete a value for its type (spec, 6.4.3); raise whatever forbids it."""
        if isinstance(value, Exception):
            raise value
        if isinstance(type_, GraphQLNonNull):
            completed = self._completed(field, type_.of_type, value, path)
            if completed is None:
                raise TypeError(f"Cannot return null for non-nullable field {field.parent}.{field.name}.")
            return completed
        if value is None:
            return None
        if isinstance(type_, GraphQLList):
            return self._list(field, type_.of_type, value, path)
        if isinstance(type_, GraphQLObjectType):
            return self._object(field.below, value, path)
        if type(value) is bytes and type_ is GraphQLString:
            return value  # a picture: `splicing` encodes it, as late as possible
        return type_.coerce_output_value(value)  # type: ignore[union-attr]

    def _list(self, field: Planned, type_: GraphQLOutputType, values: Iterable[Any], path: Path) -> list[Any]:
        if not is_iterable(values):
            raise TypeError(f"{field.parent}.{field.name} is no list.")
        answer = []
        for index, value in enumerate(values):
            at = (*path, index)
            try:
                answer.append(self._completed(field, type_, value, at))
            except Exception as error:
                located = located_error(error, field.nodes, list(at))
                if isinstance(type_, GraphQLNonNull):
                    raise located from None
                self._errors.append(located)
                answer.append(None)
        return answer

    def _fail(self, field: Planned, error: Exception, path: Path) -> None:
        """Record the error of a field that becomes null; raise that of a non-null one: then its parent becomes null."""
        located = located_error(error, field.nodes, [*path, field.key])
        if isinstance(field.type, GraphQLNonNull):
            raise located from None
        self._errors.append(located)

    def _release(self) -> None:
        """Break the reference cycles of errors, which lead to the frames they passed, and so to pictures."""
        for error in self._errors:
            error.__traceback__ = None
            if error.original_error:
                error.original_error.__traceback__ = None
        self._errors.clear()
