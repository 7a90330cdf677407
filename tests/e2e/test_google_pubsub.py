"""The laptop with Google's own Pub/Sub emulator as its broker: what the stand-in stands in for."""

import os

import pytest

from emulator import google_pubsub
from emulator.parts import CannotStart
from tests.e2e.conftest import StartLaptop
from tests.e2e.sketch_client import client_of

pytestmark = pytest.mark.google_pubsub


@pytest.fixture(autouse=True)
def _installed() -> None:
    """Skip, and say why, where it is not."""
    try:
        google_pubsub.command(1, os.environ)
    except CannotStart as missing:
        pytest.skip(str(missing))


async def test_a_job_goes_through_googles_broker_and_a_failed_one_comes_again(start_laptop: StartLaptop) -> None:
    """Published over REST, pushed in its envelope, redelivered after a 503 and acknowledged by a 204."""
    laptop = start_laptop(PUBSUB="google")
    assert laptop.endpoint
    async with client_of(laptop.addresses) as client:
        assert (await client.settled(await client.submit()))["status"] == "done"
        await client.faults({"kind": "status", "status": 500})
        state = await client.settled(await client.submit(variant=1), within_s=50)
        assert (state["status"], state["attempt"]) == ("done", 2)
        assert await client.calls() == 3
