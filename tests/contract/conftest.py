"""What contract tests share: a Store of an empty Valkey, and ambient credentials of a test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio
from rubydraw.store import Store, connect

from tests.contract.accounts import TokenServer, account_file


@pytest.fixture
async def store(raw: redis.asyncio.Redis, redis_url: str) -> AsyncIterator[Store]:
    """A Store of an empty Valkey."""
    store = connect(redis_url, "")
    yield store
    await store.close()


@pytest.fixture
async def token_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TokenServer]:
    """Ambient credentials, and the server that grants their tokens."""
    server = TokenServer()
    async with server.listening():
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account_file(tmp_path, server.url)))
        yield server
