"""A job that was given up is done after all: found, replayed and drawn under its own request id, with either broker."""

import asyncio
import os

import pytest
import redis.asyncio
from rubydraw import keys

from emulator import google_pubsub, topics
from emulator.parts import CannotStart
from tests.cli.conftest import Cli, Ended
from tests.e2e.conftest import StartLaptop
from tests.e2e.sketch_client import client_of
from tests.servers import WAIT_S


@pytest.mark.parametrize("broker", ["", pytest.param("google", marks=pytest.mark.google_pubsub)])
async def test_given_up_job_is_replayed_and_done(start_laptop: StartLaptop, broker: str) -> None:
    """Its reader sees an error, then a job that is queued as if it were new, then the drawing."""
    if broker:
        try:
            google_pubsub.command(1, os.environ)
        except CannotStart as missing:
            pytest.skip(str(missing))
    laptop = start_laptop(PUBSUB=broker)
    assert laptop.endpoint
    operator = Cli(
        PUBSUB_URL=laptop.addresses["pubsub"],
        REDIS_URL=laptop.addresses["redis"],
        PUBSUB_TOPIC=topics.TOPIC,
        DEAD_LETTER_TOPIC=topics.DEAD_LETTER_TOPIC,
    )

    async def run(*arguments: str) -> Ended:
        return await asyncio.to_thread(operator.run, "dead-letters", *arguments)

    async with client_of(laptop.addresses) as client:
        await client.faults({"kind": "status", "status": 403})  # an operator's to correct: given up at once
        request_id = await client.submit()
        failed = await client.settled(request_id)
        assert ("error", "MISCONFIGURED") == (failed["status"], failed["problem"]["code"])
        async with asyncio.timeout(WAIT_S):
            while not (listed := (await run("list", "--json")).json["letters"]):
                pass
        assert [(request_id, "MISCONFIGURED", 0)] == [(each["id"], each["code"], each["generation"]) for each in listed]

        async with redis.asyncio.Redis.from_url(laptop.addresses["redis"]) as raw:
            for flight in await raw.keys(keys.flight("*")):  # five seconds pass: its failure is nobody's answer
                await raw.delete(flight)
        await client.faults({"kind": "hold"})
        assert 0 == (await run("replay", request_id)).status
        await client.waiting(1)
        running = await client.status(request_id)
        assert ("running", 1, failed["createdAt"], None) == (
            running["status"], running["attempt"], running["createdAt"], running["problem"],
        )  # fmt: skip
        await client.release()
        done = await client.settled(request_id)
        assert ("done", failed["createdAt"]) == (done["status"], done["createdAt"])
        assert "No dead letters.\n" == (await run("list")).out
