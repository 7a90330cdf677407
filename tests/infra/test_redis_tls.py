"""Redis over TLS as Memorystore speaks it: a private authority, and an address that only the common name tells."""

from __future__ import annotations

import asyncio
import datetime
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from rubydraw.errors import StoreUnavailable
from rubydraw.redis.store import connect

from emulator import valkey
from tests.infra.unpacked import running
from tests.servers import free_port

REDIS_TF = Path(__file__).resolve().parents[2] / "infra" / "terraform" / "redis.tf"


class Authority:
    """Signs for one instance, as each Memorystore has its own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = f"Authority {x509.random_serial_number()}"  # equal names would be mistaken for each other
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        certificate = self._builder(self._name, self._key).add_extension(constraints, critical=True)
        self.pem = certificate.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def server(self, folder: Path) -> ssl.SSLContext:
        """Return a server's context, its certificate without a single alternative name."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
        certificate = self._builder(name, key).sign(self._key, hashes.SHA256())
        pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        chain = folder / "server.pem"
        chain.write_bytes(
            key.private_bytes(pem, form, serialization.NoEncryption()) + certificate.public_bytes(pem),
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(chain)
        return context

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name)
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        return builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(hours=1))


def deployed_url(port: int) -> str:
    """Return the address that Terraform writes into the secret, for an instance on this machine."""
    (template,) = re.findall(r'"(rediss://[^"]+)"', REDIS_TF.read_text())
    values = {"redis.auth_string": "", "redis.host": "127.0.0.1", "redis.port": str(port)}
    return re.sub(r"\$\{([^}]+)\}", lambda reference: values[reference[1]], template).replace(":@", "")


@asynccontextmanager
async def encrypted(port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Speak TLS on a new port and pass everything on to `port`; yield the new one."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        plain_reader, plain_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, plain_writer), pump(plain_reader, writer), return_exceptions=True)

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


async def test_the_deployed_address_reaches_redis_over_tls(tmp_path: Path) -> None:
    """With the authorities that Terraform hands over, two of them while one is rotated; a picture comes whole."""
    authority, port = Authority(), free_port()
    with running(valkey.command(port), cwd=tmp_path, env={}, port=port):
        async with encrypted(port, authority.server(tmp_path)) as tls_port:
            store = connect(deployed_url(tls_port), "\n".join([Authority().pem, authority.pem]))
            picture = bytes(range(250)) * 4_000
            await store.command("SET", "picture", picture)
            assert [picture, b"PONG"] == await store.pipeline(("GET", "picture"), ("PING",))
            await store.close()


async def test_another_authority_is_refused(tmp_path: Path) -> None:
    """Whoever cannot show a certificate of this instance's authority is not Redis; the operator is told why."""
    port, losses = free_port(), list[str]()
    with running(valkey.command(port), cwd=tmp_path, env={}, port=port):
        async with encrypted(port, Authority().server(tmp_path)) as tls_port:
            store = connect(deployed_url(tls_port), Authority().pem, on_loss=losses.append)
            with pytest.raises(StoreUnavailable):
                await store.command("PING")
            await store.close()
    assert ["SSLCertVerificationError"] == losses
