"""SIGTERM under load: what can end ends, the rest is handed back, and nothing is cut off or lost."""

import asyncio
import os
import signal
import time

from sketch_client import SketchClient, client_of

from conftest import Laptop, StartLaptop, alive

PLATFORM_KILLS_AFTER_S = 10.0


def servers(laptop: Laptop, name: str) -> set[int]:
    """The processes of one function: gunicorn's master and its worker."""
    return laptop.processes(f"--port {laptop.addresses[name].rpartition(':')[2]}")


async def ended(pids: set[int]) -> float:
    """Wait for these processes to end; return the seconds that took."""
    began = time.monotonic()
    while alive(pids):
        assert time.monotonic() - began < PLATFORM_KILLS_AFTER_S, "the platform would have killed it"
        await asyncio.sleep(0.05)
    return time.monotonic() - began


async def test_fifty_calls_in_flight_are_answered_when_the_endpoint_is_stopped(start_laptop: StartLaptop) -> None:
    """No connection is reset: who cannot be given a drawing within the grace is told to try again."""
    laptop = start_laptop(MAX_IN_FLIGHT="60")
    assert laptop.endpoint
    async with client_of(laptop.addresses) as client:
        await client.faults({"kind": "hold", "times": 50})
        asked = [asyncio.create_task(client.improve(variant=variant)) for variant in range(50)]
        await client.waiting(50)
        pids = servers(laptop, "graphql")
        os.kill(min(pids), signal.SIGTERM)
        took = asyncio.create_task(ended(pids))
        payloads = await asyncio.gather(*asked)
        assert {(payload["problem"]["code"], payload["problem"]["retryable"]) for payload in payloads} == {
            ("UNAVAILABLE", True)
        }
        assert await took < PLATFORM_KILLS_AFTER_S


async def test_jobs_in_flight_are_handed_back_when_their_worker_is_stopped(start_laptop: StartLaptop) -> None:
    """Each is finished by the next instance, and a stop uses up no attempt."""
    laptop = start_laptop(MAX_IN_FLIGHT="60")
    assert laptop.endpoint
    async with client_of(laptop.addresses) as client:
        await client.faults({"kind": "hold", "times": 50})
        jobs = [await client.submit(variant=variant) for variant in range(50)]
        await client.waiting(50)
        pids = servers(laptop, "worker")
        os.kill(min(pids), signal.SIGTERM)
        assert await ended(pids) < PLATFORM_KILLS_AFTER_S
        states = [await client.settled(request_id, within_s=60) for request_id in jobs]
        assert {(state["status"], state["attempt"]) for state in states} == {("done", 1)}


async def test_a_call_that_ends_within_the_grace_is_answered_with_its_drawing(start_laptop: StartLaptop) -> None:
    """What was paid for reaches its caller although its instance is going away."""
    laptop = start_laptop()
    assert laptop.endpoint
    async with client_of(laptop.addresses) as client:
        await client.faults({"kind": "hold"})
        asked = asyncio.create_task(client.improve())
        await client.waiting(1)
        os.kill(min(servers(laptop, "graphql")), signal.SIGTERM)
        await _told(client, laptop)
        await client.release()
        assert (await asked)["result"]["provenance"]["cache"] == "MISS"


async def _told(client: SketchClient, laptop: Laptop) -> None:
    """Wait until the instance has said that it is stopping."""
    while not any("instance.stopping" in line for line in laptop.logs):
        await asyncio.sleep(0.02)
