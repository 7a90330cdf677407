"""Object stores of the archive's tests: moto's S3 server, and the wire format of Google Cloud Storage."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

import httpx2

from tests import servers

BUCKET = "drawings"
_POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
_JWT = re.compile(r"bearer [\w-]+\.[\w-]+\.[\w-]+", re.IGNORECASE)
_NO_SUCH_KEY = b"<?xml version='1.0' encoding='UTF-8'?><Error><Code>NoSuchKey</Code></Error>"


@dataclass
class S3:
    """A running S3, the credentials that it takes, and the other side of it."""

    url: str
    port: int
    credentials: dict[str, str]
    client: Any

    def keys(self) -> list[str]:
        return [each["Key"] for each in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]

    def empty(self) -> None:
        for key in self.keys():
            self.client.delete_object(Bucket=BUCKET, Key=key)

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        data: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return data


def a_moto() -> Iterator[S3]:
    """Start moto's server, and have it check signatures once there is a user who may do anything in S3."""
    import boto3  # slow to import, and few tests need it

    port = servers.free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]

    def answers(_: servers.Server) -> bool:
        try:
            return httpx2.get(f"{url}/moto-api/", trust_env=False).status_code == 200
        except httpx2.TransportError:
            return False

    with servers.running(command, port, answers):
        known: dict[str, Any] = {"endpoint_url": url, "region_name": "us-east-1"}
        iam = boto3.client("iam", aws_access_key_id="anyone", aws_secret_access_key="anything", **known)
        iam.create_user(UserName="archive")
        key = iam.create_access_key(UserName="archive")["AccessKey"]
        iam.put_user_policy(UserName="archive", PolicyName="s3", PolicyDocument=_POLICY)
        httpx2.post(f"{url}/moto-api/reset-auth", content=b"0", trust_env=False).raise_for_status()
        names = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
        client = boto3.client("s3", **names, **known)
        client.create_bucket(Bucket=BUCKET)
        yield S3(url, port, {name.upper(): value for name, value in names.items()}, client)
        client.close()
        iam.close()


@dataclass
class Gcs:
    """
    As much of Google Cloud Storage's XML interface as an archive uses, for callers with a token.

    `status`: what every request is answered with instead, if set. `requests`: method and path of each.
    """

    status: int = 0
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    url: str = ""
    _open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Self]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            serving = [task for task in self._open.values() if task]
            for writer in self._open:
                writer.close()
            await asyncio.gather(*serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = asyncio.current_task()
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                line, *lines = head.strip().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                method, path, _ = line.split(" ")
                status, answer = self._answer(method, unquote(path).lstrip("/"), headers, body)
                dated = 'etag: "1"\r\nlast-modified: Tue, 24 Nov 2026 10:00:00 GMT\r\n'
                writer.write(
                    f"HTTP/1.1 {status} Told\r\ncontent-length: {len(answer)}\r\n{dated}\r\n".encode() + answer
                )
                await writer.drain()
        writer.close()

    def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        self.requests.append(f"{method} {path}")
        if self.status:
            return self.status, b""
        if not _JWT.fullmatch(headers.get("authorization", "")):
            return 401, b""
        if method == "PUT":
            self.objects[path] = body
            return 200, b""
        if method == "DELETE" and self.objects.pop(path, None) is not None:
            return 204, b""
        return (200, self.objects[path]) if path in self.objects else (404, _NO_SUCH_KEY)
