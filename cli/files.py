"""Files of the user's: what is sent is read whole, what is saved appears whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from cli.failure import Exit, Failure

MAX_FILE_BYTES = 20 * 1024 * 1024
"""As base64 not much more would fit into a request, which may be 32 MB; the service has a limit of its own."""

PREFIX = ".drawing-"
"""Begins the names of files that are not yet whole."""


def read(path: Path) -> bytes:
    """Return the bytes of a file; raise Failure in one sentence."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _failure("read", path, error) from None
    if len(content) > MAX_FILE_BYTES:
        raise Failure(Exit.USAGE, f"{path} is larger than {MAX_FILE_BYTES // 2**20} MiB, the most that can be sent.")
    return content


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8; raise Failure in one sentence."""
    try:
        return read(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Failure(Exit.USAGE, f"{path} is not text in UTF-8.") from None


def check_target(path: Path, *, source: Path | None = None) -> None:
    """Raise Failure if a drawing could not be saved there: better now than after it was paid for."""
    try:
        if path.is_dir():
            raise Failure(Exit.USAGE, f"{path} is a folder; name a file to save the drawing in.")
        if source and path.exists() and source.exists() and path.samefile(source):
            raise Failure(Exit.USAGE, f"{path} is the sketch itself; save the drawing under another name.")
        with tempfile.TemporaryFile(dir=_target(path).parent, prefix=PREFIX):
            pass
    except OSError as error:
        raise _failure("saved", path, error) from None


def save(path: Path, content: bytes) -> None:
    """Write a file under another name beside it, then rename it; raise Failure in one sentence."""
    try:
        target = _target(path)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=PREFIX, delete=False) as file:
            try:
                file.write(content)
                file.flush()
                os.chmod(file.name, 0o666 & ~_umask())
                os.replace(file.name, target)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise _failure("saved", path, error) from None


def _target(path: Path) -> Path:
    """Follow symlinks to what is replaced; raise Failure where that is a device, a pipe or the like."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Failure(
                Exit.USAGE, f"{path} is not a regular file; name a regular or a new file to save the drawing in."
            )
    except FileNotFoundError:
        pass
    return path.resolve()


def _umask() -> int:
    """Return the umask of this process; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _failure(what: str, path: Path, error: OSError) -> Failure:
    reason = (error.strerror or "unknown reason").lower()
    return Failure(Exit.USAGE, f"{path} cannot be {what}: {reason}.")
