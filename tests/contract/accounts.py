"""A service account whose tokens come from a server of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs

import pybase64
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


class TokenServer:
    """
    Grants every request what is `granted`, a token, or nothing, as long as it is `answering`.

    `scopes` are those that were asked for, one entry a request.
    """

    def __init__(self) -> None:
        self.url = ""
        self.refuses = False
        self.granted: dict[str, object] = {"access_token": "a-token", "expires_in": 3600, "token_type": "Bearer"}
        self.scopes: list[str] = []
        self.asked, self.answering = asyncio.Event(), asyncio.Event()
        self.answering.set()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token"
        try:
            yield
        finally:
            self.answering.set()  # a thread that still waits would outlive the test
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        [length] = [line.partition(":")[2] for line in head.split("\r\n") if line.startswith("content-length:")]
        [assertion] = parse_qs((await reader.readexactly(int(length))).decode())["assertion"]
        claims = assertion.split(".")[1]
        self.scopes.append(json.loads(pybase64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["scope"])
        self.asked.set()
        await self.answering.wait()
        body = json.dumps({"error": "invalid_grant"} if self.refuses else self.granted).encode()
        status = "400 Bad Request" if self.refuses else "200 OK"
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        writer.close()


BAD_GRANTS: list[dict[str, object]] = [
    {"access_token": None, "expires_in": 3600},
    {"access_token": "", "expires_in": 3600},
    {"access_token": "a", "expires_in": 10**18},
    {"access_token": "a", "expires_in": []},
    {},
]
"""What a token server may answer by mistake."""


def account_file(folder: Path, token_url: str) -> Path:
    """Write the key file of a service account that does not exist."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {
        "type": "service_account",
        "project_id": "test-project",
        "private_key_id": "1",
        "private_key": pem,
        "client_email": "tests@test-project.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": token_url,
    }
    path = folder / "account.json"
    path.write_text(json.dumps(account))
    return path


def federated_file(folder: Path, token_url: str) -> Path:
    """Write what names an account of another cloud, of which more than a token is asked for: its project."""
    subject, path = folder / "subject", folder / "federated.json"
    subject.write_text("a token of the other cloud")
    account = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": token_url,
        "credential_source": {"file": str(subject)},
    }
    path.write_text(json.dumps(account))
    return path
