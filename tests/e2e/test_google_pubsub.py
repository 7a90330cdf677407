"""The laptop with Google's own Pub/Sub emulator as its broker: what the stand-in stands in for."""

import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import StartLaptop, free_port
from tests.e2e.sketch_client import client_of

pytestmark = pytest.mark.google_pubsub

START_S = 40.0


def emulator_program() -> Path:
    """Return the emulator's program in the Google Cloud SDK, or skip and say what is missing."""
    gcloud = shutil.which("gcloud")
    if gcloud is None or shutil.which("java") is None:
        pytest.skip("Google's Pub/Sub emulator needs gcloud and java")
    root = Path(gcloud).resolve().parents[1]
    for folder in (root, Path("/usr/lib/google-cloud-sdk")):
        program = folder / "platform" / "pubsub-emulator" / "bin" / "cloud-pubsub-emulator"
        if program.exists():
            return program
    pytest.skip("the gcloud component pubsub-emulator is not installed")


@pytest.fixture(scope="module")
def google_broker() -> Iterator[str]:
    """A running emulator of Google's; its host and port."""
    address = f"127.0.0.1:{free_port()}"
    host, port = address.split(":")
    process = subprocess.Popen(
        [str(emulator_program()), f"--host={host}", f"--port={port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a shell that starts java: both are to be ended
    )
    try:
        end_s = time.monotonic() + START_S
        while not answers(address):
            assert process.poll() is None
            assert time.monotonic() < end_s
            time.sleep(0.1)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


async def test_a_job_goes_through_googles_broker_and_a_failed_one_comes_again(
    google_broker: str, start_laptop: StartLaptop
) -> None:
    """Published over REST, pushed in its envelope, redelivered after a 503 and acknowledged by a 204."""
    laptop = start_laptop(PUBSUB_EMULATOR_HOST=google_broker)
    assert laptop.endpoint
    async with client_of(laptop.addresses) as client:
        assert (await client.settled(await client.submit()))["status"] == "done"
        await client.faults({"kind": "status", "status": 500})
        state = await client.settled(await client.submit(variant=1), within_s=50)
        assert (state["status"], state["attempt"]) == ("done", 2)
        assert await client.calls() == 3
