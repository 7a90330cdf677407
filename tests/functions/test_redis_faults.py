"""Redis goes wrong at one step: what is answered, what is kept, and what it costs."""

from __future__ import annotations

import pytest

from tests.functions.sketch_service import SketchService, shown
from tests.redis_proxy import READONLY, RedisProxy
from tests.stand_ins import GeminiStandIn

TAKE, KEEP = "SET", "EXEC"
"""The commands that take a flight and that end the transaction which stores a drawing."""


# a synchronous request


@pytest.mark.parametrize("at", [TAKE, KEEP])
@pytest.mark.parametrize("kind", ["drop", "lose", "refuse"])
async def test_failover_at_a_step_costs_no_second_call(
    far_service: SketchService, redis_proxy: RedisProxy, gemini_stand_in: GeminiStandIn, kind: str, at: str
) -> None:
    """The connection breaks, or the primary has just become a replica: one retry on a fresh connection."""
    redis_proxy.fail(kind, at, error=READONLY)
    payload = await far_service.improve()
    assert ([], []) == (payload["errors"], redis_proxy.left)
    assert "HIT" == shown(await far_service.improve())[0]
    assert 1 == await gemini_stand_in.calls()
