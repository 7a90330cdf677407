"""Scripted faults of a stand-in: an ordered list, set over HTTP, of what goes wrong with its next calls."""

from collections import deque
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route


class Fault(BaseModel):
    """What goes wrong, `times` times. A stand-in extends it: `kind` becomes a Literal of what it can play."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    kind: str
    times: Annotated[int, Field(ge=1)] = 1
    seconds: Annotated[float, Field(ge=0)] = 5.0
    status: Annotated[int, Field(ge=400, le=599)] = 503


AnyFault = TypeVar("AnyFault", bound=Fault)


class Faults(Generic[AnyFault]):
    """The faults still to come, first in, first out; each counts down from `times`."""

    def __init__(self, model: type[AnyFault]) -> None:
        """`model` is the stand-in's own subclass of `Fault`."""
        self._lists: TypeAdapter[list[AnyFault]] = TypeAdapter(list[model])  # type: ignore[valid-type]
        self._left: deque[AnyFault] = deque()

    def append(self, document: bytes) -> None:
        """Add a JSON list of faults to the end, all or none. Raises ValueError with one sentence to show."""
        try:
            self._left.extend(self._lists.validate_json(document))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(step) for step in first["loc"])
            at = f" at {place}" if place else ""
            raise ValueError(f'Expected a list like [{{"kind": "…", "times": 2}}]{at}: {first["msg"]}.') from None

    def take(self, *kinds: str) -> AnyFault | None:
        """Use up the next fault once; None when there is none, or when it is of none of the kinds named."""
        if not self._left or (kinds and self._left[0].kind not in kinds):
            return None
        fault = self._left[0]
        if fault.times > 1:
            self._left[0] = fault.model_copy(update={"times": fault.times - 1})
        else:
            self._left.popleft()
        return fault

    def routes(self) -> list[Route]:
        """`/faults`: POST adds a list, GET shows what is left, DELETE clears."""
        return [Route("/faults", self._serve, methods=["GET", "POST", "DELETE"])]

    async def _serve(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._left.clear()
        elif request.method == "POST":
            try:
                self.append(await request.body())
            except ValueError as error:
                return PlainTextResponse(f"{error}\n", status_code=400)
        return Response(self._lists.dump_json(list(self._left)), media_type="application/json")
