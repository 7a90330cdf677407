"""SIGTERM under load: what can end ends, the rest is handed back, and nothing is cut off or lost."""

import asyncio
import os
import signal
import time

from tests.e2e.conftest import Laptop
from tests.e2e.sketch_client import SketchClient
from tests.processes import alive

PLATFORM_KILLS_AFTER_S = 10.0


def terminate(fleet: Laptop, name: str) -> set[int]:
    """Send SIGTERM to a function as the platform does, to its first process; return all of its processes."""
    command = f"--port {fleet.addresses[name].rpartition(':')[2]}"
    everything = fleet.processes(command)
    (master,) = fleet.processes(command, generations=1)
    os.kill(master, signal.SIGTERM)
    return everything


async def ended(pids: set[int]) -> float:
    """Wait for these processes to end; return the seconds that took."""
    began = time.monotonic()
    while alive(pids):
        assert time.monotonic() - began < PLATFORM_KILLS_AFTER_S, "the platform would have killed it"
        await asyncio.sleep(0.05)
    return time.monotonic() - began


async def test_fifty_calls_in_flight_are_answered_when_the_endpoint_is_stopped(
    fleet: Laptop, client: SketchClient
) -> None:
    """No connection is reset: who cannot be given a drawing within the grace is told to try again."""
    await client.faults({"kind": "hold", "times": 50})
    asked = [asyncio.create_task(client.improve(variant=variant)) for variant in range(50)]
    await client.waiting(50)
    pids = terminate(fleet, "graphql")
    took = asyncio.create_task(ended(pids))
    payloads = await asyncio.gather(*asked)
    assert {(payload["problem"]["code"], payload["problem"]["retryable"]) for payload in payloads} == {
        ("UNAVAILABLE", True)
    }
    assert await took < PLATFORM_KILLS_AFTER_S


async def test_jobs_in_flight_are_handed_back_when_their_worker_is_stopped(fleet: Laptop, client: SketchClient) -> None:
    """Each is finished by the next instance, and a stop uses up no attempt."""
    await client.faults({"kind": "hold", "times": 50})
    jobs = [await client.submit(variant=variant) for variant in range(50)]
    await client.waiting(50)
    assert await ended(terminate(fleet, "worker")) < PLATFORM_KILLS_AFTER_S
    await client.release()
    states = [await client.settled(request_id, within_s=60) for request_id in jobs]
    assert {(state["status"], state["attempt"]) for state in states} == {("done", 1)}


async def test_a_call_that_ends_within_the_grace_is_answered_with_its_drawing(
    fleet: Laptop, client: SketchClient
) -> None:
    """What was paid for reaches its caller although its instance is going away."""
    await client.faults({"kind": "hold"})
    asked = asyncio.create_task(client.improve())
    await client.waiting(1)
    told = len(fleet.logs)
    terminate(fleet, "graphql")
    while not any("instance.stopping" in line for line in fleet.logs[told:]):
        await asyncio.sleep(0.02)
    await client.release()
    assert (await asked)["result"]["provenance"]["cache"] == "MISS"
