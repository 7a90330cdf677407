"""Where a Redis is, and how to connect to it, which redis-py does: TLS, authentication, the options of an address."""

from __future__ import annotations

import asyncio
import ssl
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rubydraw.connection import BUFFER_BYTES, Connection

if TYPE_CHECKING:  # its import takes 40 ms, which a process needs only once it asks Redis something
    from redis.asyncio.connection import AbstractConnection, ConnectionPool


class CannotConnect(ConnectionError):
    """There is no connection to Redis; `kind` is the name of what redis-py met, whose text may hold addresses."""

    def __init__(self, kind: str) -> None:
        super().__init__("cannot connect to Redis")
        self.kind = kind


class RedisAddress:
    """A redis: or rediss: address, and the certificates that the latter's are checked against."""

    def __init__(self, url: str, ca_cert: str) -> None:
        self._url, self._ca_cert = url, ca_cert
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._loaded = False

    async def load(self) -> None:
        """Import redis-py beside the event loop; raise ValueError where the address cannot be read."""
        if not self._loaded:
            await asyncio.to_thread(lambda: self._pool)
            self._loaded = True

    async def open(self) -> Connection:
        """Connect; raise ConnectionError. Whoever asks for it also gives it a time-out."""
        connection = self.unopened()
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except Exception as error:  # of an answer that cannot be read it is a TypeError
            met = error.__context__  # of what the system says, redis-py makes one and the same error of its own
            raise CannotConnect(type(met if isinstance(met, OSError) else error).__name__) from None
        reader, writer = connection._reader, connection._writer
        connection._reader = connection._writer = None  # what is taken from it, it does not close
        if not reader or not writer or reader.at_eof():
            raise ConnectionError("Redis has closed the connection")
        return Connection(writer, self._buffer)

    def unopened(self) -> AbstractConnection:
        """Return a connection of redis-py's; whoever has it opens it, times it and closes it."""
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        return connection

    @cached_property
    def _pool(self) -> ConnectionPool:
        """A pool from which nothing is taken: it reads addresses and makes connections."""
        from redis.asyncio import ConnectionPool

        tls: dict[str, Any] = {}
        if self._url.startswith("rediss:"):
            # Since Python 3.13 a certificate must also follow RFC 5280 to the letter, and private authorities' do not:
            # the chain is checked all the same.
            tls["ssl_exclude_verify_flags"] = [ssl.VerifyFlags.VERIFY_X509_STRICT]
            tls |= {"ssl_ca_data": self._ca_cert} if self._ca_cert else {}
        return ConnectionPool.from_url(
            self._url,
            # Each round trip is timed, connecting included: redis-py's own time-outs are nested and would add up.
            socket_timeout=None,
            socket_connect_timeout=None,
            driver_info=None,  # telling Redis the library's name would cost each new connection two round trips
            **tls,
        )
