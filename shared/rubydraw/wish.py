"""A wish: which sketch is to be drawn, for whom, how new the drawing has to be, and until when."""

from __future__ import annotations

from typing import NamedTuple

from rubydraw.principal import Principal
from rubydraw.sketch import Sketch
from rubydraw.store import Call


class Wish(NamedTuple):
    """
    What travels from `improve` to the call.

    `deadline`: in seconds on the monotonic clock. `since_ms`: a drawing that was finished before does not count (ms
    since 1970 by Redis' clock; None: before now). `payer`: on whose account a call is made. `then`: what is to be run
    with the round trip that stores the drawing of a call.
    """

    digest: str
    sketch: Sketch
    deadline: float
    since_ms: int | None
    payer: Principal
    then: Call | None = None

    @property
    def shared_by(self) -> tuple[str, int | None]:
        """Those for whom this is the same share one call."""
        return self.digest, self.since_ms
