"""Identical sketches cost one call, whoever asks, wherever, and whatever happens to the one who asked first."""

import asyncio
import os
import signal
from collections import Counter

import pytest

from tests.e2e.conftest import Laptop
from tests.e2e.sketch_client import SketchClient

MANY = 1000


async def ask(client: SketchClient, number: int) -> tuple[str, str]:
    """Ask as the caller of this number: half of them wait, half go into the background, over both instances."""
    if number % 4 < 2:
        payload = await client.improve(to=number)
        result = payload["result"]
        return ("sync", result["provenance"]["cache"] if result else payload["problem"]["code"])
    return ("async", await client.submit(to=number))


async def end_of(client: SketchClient, answers: list[tuple[str, str]]) -> Counter[str]:
    """Wait for every job; count how they ended."""
    ended: Counter[str] = Counter()
    for _, request_id in [answer for answer in answers if answer[0] == "async"]:
        ended[(await client.settled(request_id, within_s=90))["status"]] += 1
    return ended


async def test_a_thousand_identical_requests_over_two_instances_of_each_function_cost_one_call(
    fleet: Laptop, client: SketchClient
) -> None:
    """Everyone is answered with the one picture, each background caller under an id of its own."""
    seen = len(fleet.logs)
    await client.faults({"kind": "slow", "seconds": 2})
    answers = list(await asyncio.gather(*(ask(client, number) for number in range(MANY))))
    outcomes = Counter(what for kind, what in answers if kind == "sync")
    assert set(outcomes) <= {"MISS", "COALESCED", "HIT"}
    assert outcomes.total() == MANY // 2
    assert len({what for kind, what in answers if kind == "async"}) == MANY // 2
    assert await end_of(client, answers) == {"done": MANY // 2}
    assert await client.calls() == 1, [line for line in fleet.logs[seen:] if "gemini.asked" in line]


@pytest.mark.parametrize("many", [200, pytest.param(1000, marks=pytest.mark.chaos)])
async def test_a_killed_leader_is_replaced_and_costs_one_call_more(
    fleet: Laptop, client: SketchClient, many: int
) -> None:
    """The instance that asked Gemini is killed with -9 in mid-call; the others finish with at most two calls."""
    await client.faults({"kind": "hold"})
    seen = len(fleet.logs)
    first = await client.submit()
    await client.waiting(1)
    leader = next(line.split()[0] for line in fleet.logs[seen:] if "gemini.asked" in line)
    followers = [asyncio.create_task(ask(client, number)) for number in range(many)]
    for pid in fleet.processes(f"--port {fleet.addresses[leader].rpartition(':')[2]}"):
        os.kill(pid, signal.SIGKILL)
    answers = list(await asyncio.gather(*followers))
    assert {what for kind, what in answers if kind == "sync"} <= {"MISS", "COALESCED", "HIT"}
    assert await end_of(client, [*answers, ("async", first)]) == {"done": many // 2 + 1}
    assert await client.calls() <= 2


async def test_a_failing_gemini_is_asked_three_times_at_most_and_everyone_is_answered(client: SketchClient) -> None:
    """A failure is everyone's answer for five seconds; jobs give up after three attempts, no failure counts twice."""
    await client.faults({"kind": "status", "status": 500, "times": 1000})
    answers = list(await asyncio.gather(*(ask(client, number) for number in range(400))))
    assert {what for kind, what in answers if kind == "sync"} == {"PROVIDER_FAILED"}
    assert await end_of(client, answers) == {"error": 200}
    assert await client.calls() <= 3


async def test_a_failure_that_passes_does_not_end_a_job(client: SketchClient) -> None:
    """One 500 from Gemini costs a job one attempt, though its redelivery comes while the failure is still shared."""
    await client.faults({"kind": "status", "status": 500})
    state = await client.settled(await client.submit())
    assert (state["status"], state["attempt"]) == ("done", 2)
    assert await client.calls() == 2


async def test_a_caller_that_goes_away_does_not_end_a_call_that_is_paid_for(client: SketchClient) -> None:
    """The client disconnects in mid-call; its repeat finds the drawing and asks nobody."""
    await client.faults({"kind": "hold"})
    impatient = asyncio.create_task(client.improve())
    await client.waiting(1)
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)
    await client.release()
    assert (await client.improve())["result"]["provenance"]["cache"] in ("HIT", "COALESCED")
    assert await client.calls() == 1
