"""A wish: which sketch is to be drawn, for whom, how new the drawing has to be, and until when."""

from __future__ import annotations

from typing import NamedTuple

from rubydraw.principal import Principal
from rubydraw.redis.store import Call
from rubydraw.sketch import Sketch


class Wish(NamedTuple):
    """
    What `improve` passes on to the call.

    `deadline`: in seconds on the monotonic clock. `since_ms`: a drawing finished before this does not count (ms since
    1970 by Redis' clock; None: now). `payer`: whose account a call is charged to. `then`: a script to be run in the
    round trip that stores the drawing of a call.
    """

    digest: str
    sketch: Sketch
    deadline: float
    since_ms: int | None
    payer: Principal
    then: Call | None = None

    @property
    def shared_by(self) -> tuple[str, int | None]:
        """Wishes that are equal in this share one call."""
        return self.digest, self.since_ms
