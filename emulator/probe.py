"""One small HTTP request, for asking the parts whether they answer and for setting up the broker."""

import asyncio
import json

_TIMEOUT_S = 5.0


async def request(method: str, address: str, path: str, body: object = None) -> int:
    """Send a request to `http://host:port` and return the status.

    Raises OSError when nobody answers properly. Done by hand, since importing an HTTP client takes 0.1 s.
    """
    host, _, port = address.removeprefix("http://").rpartition(":")
    payload = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    async with asyncio.timeout(_TIMEOUT_S):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(head.encode() + payload)
            status_line = (await reader.readline()).split()
        finally:
            writer.close()
    if len(status_line) < 2 or not status_line[1].isdigit():
        raise ConnectionError(f"{address} does not speak HTTP")
    return int(status_line[1])


async def answers(address: str, path: str) -> bool:
    """Whether a GET of this path is answered with 200."""
    try:
        return await request("GET", address, path) == 200
    except OSError:
        return False


async def accepts_connections(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True
