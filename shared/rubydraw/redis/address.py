"""A Redis address, to which redis-py connects: it handles TLS, authentication and the options of the address."""

from __future__ import annotations

import asyncio
import ssl
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rubydraw.redis.connection import BUFFER_BYTES, Connection

if TYPE_CHECKING:  # its import takes 40 ms, and waits until a process first asks Redis something
    from redis.asyncio.connection import AbstractConnection, ConnectionPool


class CannotConnect(ConnectionError):
    """There is no connection to Redis; `kind` is the error's name alone, as its text may contain addresses."""

    def __init__(self, kind: str) -> None:
        super().__init__("cannot connect to Redis")
        self.kind = kind


class RedisAddress:
    """A redis: or rediss: address, and the CA certificates against which a rediss: server is checked."""

    def __init__(self, url: str, ca_cert: str) -> None:
        self._url, self._ca_cert = url, ca_cert
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._loaded = False

    async def load(self) -> None:
        """Import redis-py in a thread; raise ValueError if the address cannot be parsed."""
        if not self._loaded:
            await asyncio.to_thread(lambda: self._pool)
            self._loaded = True

    async def open(self) -> Connection:
        """Connect; raise ConnectionError. The caller sets the time-out."""
        connection = self.unopened()
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except Exception as error:  # an answer that cannot be parsed raises TypeError
            met = error.__context__  # redis-py turns every OSError into the same error of its own
            raise CannotConnect(type(met if isinstance(met, OSError) else error).__name__) from None
        reader, writer = connection._reader, connection._writer
        connection._reader = connection._writer = None  # so that redis-py does not close them
        if not reader or not writer or reader.at_eof():
            raise ConnectionError("Redis has closed the connection")
        return Connection(writer, self._buffer)

    def unopened(self) -> AbstractConnection:
        """Return a new connection of redis-py; the caller opens it, sets its time-outs and closes it."""
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        return connection

    @cached_property
    def _pool(self) -> ConnectionPool:
        """A pool that keeps no connections: it only parses the address and makes new ones."""
        from redis.asyncio import ConnectionPool

        tls: dict[str, Any] = {}
        if self._url.startswith("rediss:"):
            # Since Python 3.13 a certificate must also follow RFC 5280 to the letter, and those of private authorities
            # do not. The chain is still checked.
            tls["ssl_exclude_verify_flags"] = [ssl.VerifyFlags.VERIFY_X509_STRICT]
            tls |= {"ssl_ca_data": self._ca_cert} if self._ca_cert else {}
        return ConnectionPool.from_url(
            self._url,
            # Our time-out covers a round trip, connecting included. redis-py's own ones are nested and would add up.
            socket_timeout=None,
            socket_connect_timeout=None,
            driver_info=None,  # telling Redis the library's name would cost each new connection two round trips
            **tls,
        )
