"""What contract tests share: a Store of an empty Valkey, a job and its record, Gemini, and credentials."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import redis.asyncio
from rubydraw.drawings.flights import Flights
from rubydraw.drawings.results import Results
from rubydraw.gemini.client import Gemini
from rubydraw.jobs.message import JobMessage
from rubydraw.jobs.transitions import Jobs
from rubydraw.jobs.updates import Updates
from rubydraw.redis.store import Store, connect
from rubydraw.settings import Settings

from tests.contract.accounts import TokenServer, account_file
from tests.contract.gemini_calls import MODES, MakeGemini
from tests.contract.job_record import LEASE_MS, JobRecord
from tests.contract.object_stores import S3, Gcs
from tests.contract.wire_proxy import WireProxy
from tests.servers import Server
from tests.sketches import HOUR_MS, job
from tests.stand_ins import GeminiStandIn


@pytest.fixture
async def store(raw: redis.asyncio.Redis, redis_url: str) -> AsyncIterator[Store]:
    """A Store of an empty Valkey."""
    store = connect(redis_url, "")
    yield store
    await store.close()


@pytest.fixture
async def wire(valkey: Server, raw: redis.asyncio.Redis) -> AsyncIterator[WireProxy]:
    """A wire to an empty Valkey that can lose what a real one loses."""
    proxy = WireProxy(valkey.port)
    async with proxy.listening():
        yield proxy


@pytest.fixture
async def heard(store: Store) -> AsyncIterator[Updates]:
    """The updates of one process."""
    heard = Updates(store.connection)
    yield heard
    await heard.close()


@pytest.fixture
async def token_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TokenServer]:
    """Ambient credentials, and the server that grants their tokens."""
    server = TokenServer()
    async with server.listening():
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account_file(tmp_path, server.url)))
        yield server


@pytest.fixture
def jobs(store: Store) -> Jobs:
    """Three attempts, an hour, and leases of 5 s."""
    return Jobs(store, lease_ms=LEASE_MS, heartbeat_ms=20, max_attempts=3, max_age_ms=HOUR_MS)


@pytest.fixture
def message() -> JobMessage:
    """A job accepted just now."""
    return job()


@pytest.fixture
def record(raw: redis.asyncio.Redis, message: JobMessage) -> JobRecord:
    """The record of the job in `message`."""
    return JobRecord(raw, message.request_id)


@pytest.fixture
async def make_gemini(gemini_stand_in: GeminiStandIn, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MakeGemini]:
    """Makes clients of the stand-in, or of another address, in any mode; all closed after the test."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    made = []

    def make(mode: str = "api", *, clock: Callable[[], float] | None = None, **settings: str) -> Gemini:
        environment = {"REDIS_URL": "redis://nowhere", "GEMINI_MODE": mode, "GEMINI_BASE_URL": gemini_stand_in.url}
        read = Settings.from_env(environment | MODES[mode] | settings)
        made.append(Gemini(read, clock=clock) if clock else Gemini(read))
        return made[-1]

    yield make
    for gemini in made:
        await gemini.close()


@pytest.fixture
def gemini(make_gemini: MakeGemini) -> Gemini:
    """A client in the mode `api`."""
    return make_gemini()


@pytest.fixture
def s3(s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """An S3 whose ambient credentials are good, with an empty bucket."""
    s3_server.empty()
    for name, value in s3_server.credentials.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
async def gcs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gcs]:
    """A Google Cloud Storage that takes ambient credentials of a service account."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account_file(tmp_path, "http://127.0.0.1:1/unused")))
    async with Gcs().listening() as server:
        yield server


@pytest.fixture
def results(store: Store) -> Results:
    """Drawings beside the jobs."""
    return Results(store)


@pytest.fixture
def flights(store: Store, results: Results) -> Flights:
    """Flights of 5 s."""
    return Flights(store, results, lease_ms=LEASE_MS, heartbeat_ms=20, max_failures=3)
