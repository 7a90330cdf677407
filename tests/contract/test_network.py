"""httpcore2 over connections of our own: what is sent, what comes back, and every way in which it does not."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpcore2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from rubydraw.http import pool as http_pool
from rubydraw.http.network import HELD_BYTES, UNREAD_BYTES, Network
from rubydraw.http.pool import HttpPool

from tests.servers import free_port

LARGE = bytes(range(256)) * 16 * 1024  # 4 MiB: more than any buffer on the way
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
WITHIN_S, SOON_S = 10.0, 0.2


@pytest.fixture
async def pool() -> AsyncIterator[HttpPool]:
    pool = HttpPool(10)
    yield pool
    await pool.aclose()


async def post(pool: HttpPool, port: int, body: bytes, *, scheme: str = "http", timeout_s: float = WITHIN_S) -> bytes:
    response = await pool.request("POST", httpcore2.URL(f"{scheme}://127.0.0.1:{port}"), [], body, timeout_s=timeout_s)
    return response.content


@asynccontextmanager
async def serving(serve: Serve, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> AsyncIterator[int]:
    """Yield the port at which each connection is served like this."""
    writers: list[asyncio.StreamWriter] = []

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)

    server = await asyncio.start_server(served, address, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


async def asked(reader: asyncio.StreamReader) -> bytes:
    """Read one request and return its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().splitlines() if line.startswith(b"content-length:"))
    return await reader.readexactly(int(length.split(b":")[1]))


def answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(answer(await asked(reader)))
        await writer.drain()


@pytest.mark.parametrize(
    "body", [b"", b"x", LARGE[:HELD_BYTES], LARGE[:UNREAD_BYTES], LARGE], ids=lambda body: f"{len(body)} bytes"
)
async def test_what_is_sent_comes_back(pool: HttpPool, body: bytes) -> None:
    """Whole and in order, again and again over one connection."""
    async with serving(echo) as port:
        for _ in range(3):
            assert body == await post(pool, port, body)
        assert len(pool._idle) == 1


async def test_a_small_request_leaves_in_one_piece(pool: HttpPool) -> None:
    """A head alone would be a packet, and a wait, of its own."""
    pieces: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pieces.append(await reader.read(HELD_BYTES))
        writer.write(answer(b""))

    async with serving(serve) as port:
        await post(pool, port, b"the body")
    assert pieces[0].endswith(b"\r\n\r\nthe body")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_a_server_is_told_by_which_host_it_was_found(pool: HttpPool, host: str) -> None:
    """As it stands in the address: the colons of IPv6 would be taken for that before a port."""
    heads: list[list[bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).lower().splitlines())
        writer.write(answer(b""))

    try:
        async with serving(serve, address="::1" if ":" in host else "127.0.0.1") as port:
            await pool.request("GET", httpcore2.URL(f"http://{host}:{port}"), [], b"", timeout_s=WITHIN_S)
    except OSError:
        pytest.skip("no IPv6 here")
    assert [f"host: {host}:{port}".encode()] == [line for line in heads[0] if line.startswith(b"host:")]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://[::1]/", "[::1]"),
        ("http://[::1]:80/", "[::1]"),
        ("http://[::1]:443/", "[::1]:443"),
        ("https://[::1]:443/", "[::1]"),
    ],
)
def test_a_usual_port_is_not_told(url: str, host: str) -> None:
    """As httpcore2 has it with every other host."""
    assert host == http_pool._in_brackets(httpcore2.URL(url))


async def test_a_large_answer_waits_until_it_is_read() -> None:
    """A client that reads slowly holds no more than a part of it."""
    sent_bytes = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent_bytes
        await asked(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(LARGE) * 8))
        for _ in range(8):
            writer.write(LARGE)
            await writer.drain()
            sent_bytes += len(LARGE)

    async with serving(serve) as port:
        address = f"http://127.0.0.1:{port}"
        async with (
            httpcore2.AsyncConnectionPool(network_backend=Network()) as pool,
            pool.stream("POST", address, content=b"") as response,
        ):
            pieces = response.aiter_stream()
            read = [await anext(pieces)]
            before = -1
            while before < sent_bytes:  # until nothing more goes through
                before = sent_bytes
                await asyncio.sleep(0.1)
            assert sent_bytes < len(LARGE) * 8
            read += [piece async for piece in pieces]
    assert b"".join(read) == LARGE * 8


async def test_who_reads_much_that_has_come_lets_others_have_their_turn() -> None:
    """However small its pieces are, and however long each takes to parse."""
    turns, over = 0, asyncio.Event()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(UNREAD_BYTES))
        await over.wait()

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with serving(serve) as port:
        stream = await Network().connect_tcp("127.0.0.1", port)
        while stream._wire._unread_bytes < UNREAD_BYTES:  # until all of it has come
            await asyncio.sleep(0)
        other = asyncio.create_task(take_turns())
        for _ in range(100):
            await stream.read(UNREAD_BYTES // 200)
        other.cancel()
        over.set()
        await stream.aclose()
    assert turns >= 100


async def test_a_connection_that_has_ended_is_not_used_again(pool: HttpPool) -> None:
    """A server closes what is idle for long: the next request goes over another one."""
    connections = 0
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(answer(await asked(reader)))
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        gone.set()

    async with serving(serve) as port:
        for _ in range(2):
            await post(pool, port, b"x")
            await gone.wait()
            gone.clear()
    assert connections == 2


async def test_what_comes_beyond_an_answer_is_nobody_s(pool: HttpPool) -> None:
    """A second answer in the same packet would be taken for that to the next request."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while body := await asked(reader):
            writer.write(answer(body) + answer(b"too much"))

    async with serving(serve) as port:
        assert [b"1", b"2"] == [await post(pool, port, body) for body in (b"1", b"2")]
    assert not pool._idle


async def test_an_answer_that_is_here_before_the_rest_is_sent(pool: HttpPool) -> None:
    """It comes before there is no room, and nothing more comes afterwards."""
    answered, over = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(answer(b"too large"))
        answered.set()
        await over.wait()

    async def body() -> AsyncIterator[bytes]:
        yield bytes(HELD_BYTES)
        await answered.wait()
        for _ in range(5):  # until the loop has read it
            await asyncio.sleep(0)
        for _ in range(8):
            yield LARGE

    async with serving(serve) as port:
        url = httpcore2.URL(f"http://127.0.0.1:{port}")
        response = await pool.request("POST", url, [], body(), timeout_s=WITHIN_S)
        over.set()
    assert b"too large" == response.content


@pytest.mark.parametrize(("ends", "reads_on"), [(True, True), (True, False), (False, False)])
async def test_an_answer_before_the_request_is_whole(pool: HttpPool, *, ends: bool, reads_on: bool) -> None:
    """A server that will not have it says so, may end its side, and may read on for the client's sake."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(answer(b"too large"))
        if ends:
            writer.write_eof()
        if reads_on:
            writer.transport.resume_reading()  # type: ignore[attr-defined]
            while await reader.read(UNREAD_BYTES):
                pass
        else:
            await over.wait()

    async with serving(serve) as port:
        assert b"too large" == await post(pool, port, LARGE * 8)
        over.set()
    assert not pool._idle


async def test_nobody_listens(pool: HttpPool) -> None:
    with pytest.raises(httpcore2.ConnectError):
        await post(pool, free_port(), b"")


async def test_no_answer_comes(pool: HttpPool) -> None:
    """The wait for it ends in time, and the connection with it."""
    hung_up = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while await reader.read(1024):
                pass
        hung_up.set()

    async with serving(serve) as port:
        with pytest.raises(httpcore2.ReadTimeout):
            await post(pool, port, b"x", timeout_s=SOON_S)
        await asyncio.wait_for(hung_up.wait(), 10)


async def test_nobody_reads_the_request(pool: HttpPool) -> None:
    """A large one does not wait for ever to be taken."""
    over = asyncio.Event()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await over.wait()

    async with serving(serve) as port:
        with pytest.raises(httpcore2.WriteTimeout):
            await post(pool, port, LARGE * 8, timeout_s=SOON_S)
        over.set()


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut"], ids=["nothing", "a part"])
@pytest.mark.parametrize("reset", [True, False])
async def test_the_connection_breaks(pool: HttpPool, said: bytes, *, reset: bool) -> None:
    """Before an answer or within one, by an end or by a reset."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(said)
        await writer.drain()
        writer.transport.abort() if reset else writer.close()

    async with serving(serve) as port:
        with pytest.raises((httpcore2.ReadError, httpcore2.RemoteProtocolError)):
            await post(pool, port, b"x")


async def test_the_connection_breaks_while_the_request_is_sent(pool: HttpPool) -> None:
    """A server that hangs up in the middle of a large one."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.transport.abort()

    async with serving(serve) as port:
        with pytest.raises((httpcore2.ReadError, httpcore2.RemoteProtocolError)):
            await post(pool, port, LARGE * 8)


async def test_who_gives_up_leaves_no_connection_behind(pool: HttpPool) -> None:
    """A cancelled request ends its connection: the answer to it would be taken for that to the next."""
    came = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        came.set()
        await reader.read()

    async with serving(serve) as port:
        request = asyncio.create_task(post(pool, port, b"x"))
        await came.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    assert not pool._idle


class Authority:
    """A private authority, and a server that it vouches for."""

    def __init__(self, folder: Path, *, address: str) -> None:
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        certificate = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).add_extension(names, critical=False)
            .not_valid_before(now).not_valid_after(now + datetime.timedelta(hours=1)).sign(key, hashes.SHA256())
        )  # fmt: skip
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        chain = folder / "chain.pem"
        chain.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, none) + pem)
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.server.load_cert_chain(chain)
        self.client = ssl.create_default_context(cadata=pem.decode())


@pytest.mark.parametrize("body", [b"x", LARGE], ids=["small", "large"])
async def test_tls(tmp_path: Path, pool: HttpPool, monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    """As Google speaks it."""
    authority = Authority(tmp_path, address="127.0.0.1")
    monkeypatch.setattr(http_pool, "tls_context", lambda: authority.client)
    async with serving(echo, authority.server) as port:
        for _ in range(2):
            assert body == await post(pool, port, body, scheme="https")
        assert len(pool._idle) == 1


async def test_a_connection_that_is_reset_while_idle(
    tmp_path: Path, pool: HttpPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far the news of it has come, the next request is sent or fails as one that was cut off."""
    authority = Authority(tmp_path, address="127.0.0.1")
    monkeypatch.setattr(http_pool, "tls_context", lambda: authority.client)
    transports: list[asyncio.WriteTransport] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transports.append(writer.transport)
        await echo(reader, writer)

    async with serving(serve, authority.server) as port:
        for turns in range(8):
            await post(pool, port, b"x", scheme="https")
            wire: socket.socket = transports[-1].get_extra_info("socket")
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transports[-1].abort()
            for _ in range(turns):
                await asyncio.sleep(0)
            with suppress(httpcore2.NetworkError, httpcore2.ProtocolError):
                await post(pool, port, b"x", scheme="https")


async def test_a_server_that_is_another_is_not_spoken_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its certificate is for another address, or nobody vouches for it."""
    authority = Authority(tmp_path, address="127.0.0.2")
    async with serving(echo, authority.server) as port:
        for context in (authority.client, http_pool.tls_context()):
            monkeypatch.setattr(http_pool, "tls_context", lambda context=context: context)
            with pytest.raises(httpcore2.ConnectError):
                await post(HttpPool(10), port, b"x", scheme="https")


async def test_a_server_that_does_not_speak_tls(pool: HttpPool) -> None:
    """Or none that answers in time."""

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(silent) as port:
        with pytest.raises(httpcore2.ConnectTimeout):
            await post(pool, port, b"x", scheme="https", timeout_s=SOON_S)


async def test_no_more_connections_than_allowed() -> None:
    """Who finds none free waits for one; nobody is refused."""
    pool, at_once, most = HttpPool(3), 0, 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal at_once, most
        while True:
            body = await asked(reader)
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.01)
            at_once -= 1
            writer.write(answer(body))

    async with serving(serve) as port:
        bodies = [b"%d" % number for number in range(20)]
        assert bodies == await asyncio.gather(*(post(pool, port, body) for body in bodies))
        await pool.aclose()
    assert most == 3


async def test_what_is_idle_for_long_is_closed(pool: HttpPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst leaves no more connections behind than are used afterwards."""
    came, go_on = asyncio.Semaphore(0), {b"burst": asyncio.Event(), b"last": asyncio.Event()}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            body = await asked(reader)
            came.release()
            await go_on[body].wait()
            writer.write(answer(body))

    async with serving(serve) as port:
        monkeypatch.setattr(http_pool, "KEPT_S", -1.0)
        burst = [asyncio.create_task(post(pool, port, b"burst")) for _ in range(5)]
        for _ in burst:
            await came.acquire()
        monkeypatch.undo()
        last = asyncio.create_task(post(pool, port, b"last"))
        await came.acquire()
        go_on[b"burst"].set()
        await asyncio.gather(*burst)
        go_on[b"last"].set()
        await last
        *expired, kept = pool._idle
        await post(pool, port, b"last")
        assert [kept] == [*pool._idle]
        assert len(expired) == 5
        assert all(connection.is_closed() for connection in expired)


async def test_the_connection_that_was_used_last_is_used_again(pool: HttpPool) -> None:
    """So that after a burst the others are idle for long, and closed."""
    async with serving(echo) as port:
        await asyncio.gather(*(post(pool, port, b"x") for _ in range(2)))
        both = [*pool._idle]
        await post(pool, port, b"x")
        assert both == [*pool._idle]


async def test_authorities_are_read_once(tmp_path: Path, pool: HttpPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for each connection, and by no pool of this process anew; and not for an `http:` address."""
    reads = 0

    def read() -> ssl.SSLContext:
        nonlocal reads
        reads += 1
        return authority.client

    authority = Authority(tmp_path, address="127.0.0.1")
    monkeypatch.setattr(httpcore2, "default_ssl_context", read)
    http_pool.tls_context.cache_clear()
    async with serving(echo) as port, serving(echo, authority.server) as secure_port:
        await post(pool, port, b"x")
        assert reads == 0
        for _ in range(2):
            secure = HttpPool(10)
            await post(secure, secure_port, b"x", scheme="https")
            await asyncio.gather(*(post(secure, secure_port, b"x", scheme="https") for _ in range(2)))
            await secure.aclose()
    http_pool.tls_context.cache_clear()
    assert reads == 1
