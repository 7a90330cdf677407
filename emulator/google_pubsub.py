"""Google's own Pub/Sub emulator instead of the stand-in: in the Google Cloud SDK, or where the shell names it."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from emulator.parts import CannotStart

ONE_WORKER = "pushes to the first worker only: in Google's emulator a subscription has one endpoint"

_IN_SDK = Path("platform", "pubsub-emulator", "bin", "cloud-pubsub-emulator")
_MISSING = (
    "PUBSUB=google needs Google's Pub/Sub emulator, which is not installed: `gcloud components install "
    "pubsub-emulator`, or name its program in PUBSUB_EMULATOR_PROGRAM"
)


def command(port: int, shell: Mapping[str, str]) -> list[str]:
    """The command line of the emulator. Raises CannotStart when it, or the Java that it needs, is missing."""
    program = _program(shell)
    if not shell.get("JAVA_HOME") and shutil.which("java", path=shell.get("PATH", "")) is None:
        raise CannotStart("PUBSUB=google needs Java: there is no `java` in the PATH, and JAVA_HOME is not set")
    return [str(program), "--host=127.0.0.1", f"--port={port}"]


def _program(shell: Mapping[str, str]) -> Path:
    if named := shell.get("PUBSUB_EMULATOR_PROGRAM"):
        if shutil.which(named) is None:
            raise CannotStart(f"PUBSUB_EMULATOR_PROGRAM names {named!r}, which cannot be run")
        return Path(named)
    gcloud = shutil.which("gcloud", path=shell.get("PATH", ""))
    program = Path(gcloud).resolve().parents[1] / _IN_SDK if gcloud else None
    if program is None or not program.exists():
        raise CannotStart(_MISSING)
    return program
