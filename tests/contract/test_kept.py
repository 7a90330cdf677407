"""Two tiers of drawings, on a real Valkey and a folder: which one counts when there are two."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from rubydraw.drawing import Drawing, Improved
from rubydraw.drawings.archive import Archive
from rubydraw.drawings.kept import Kept
from rubydraw.drawings.results import Results
from rubydraw.redis.store import Store
from rubydraw.settings import Settings

from tests.sketches import drawing, now_ms

DIGEST = "0123456789abcdef" * 4


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """A folder."""
    needed = {"REDIS_URL": "redis://nowhere", "GEMINI_API_KEY": "k", "ARCHIVE_URL": f"file://{tmp_path}/archive"}
    return Archive(Settings.from_env(needed))


async def test_what_the_archive_has_takes_the_place_of_nothing_newer(
    store: Store, results: Results, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes up to a second to read: meanwhile a refresh may have been drawn, and paid for."""
    kept, read, found, go = Kept(results, archive), archive.get, asyncio.Event(), asyncio.Event()
    archive.begin_keeping(DIGEST, drawing(title="old", created_at_ms=now_ms() - 1000))
    await archive.written(DIGEST)

    async def late(digest: str) -> Drawing | None:
        old = await read(digest)
        found.set()
        await go.wait()
        return old

    monkeypatch.setattr(archive, "get", late)
    reading = asyncio.create_task(kept.only(DIGEST))
    await found.wait()
    await kept.keep(DIGEST, newer := drawing(title="new"), state=store)
    go.set()
    await reading
    assert newer == await results.get(DIGEST)


async def test_an_older_drawing_does_not_pass_for_what_a_job_has_got(results: Results, archive: Archive) -> None:
    """Redis did not take the new one, nor was there room to hold it: it is in hand, and stored before the job ends."""
    await results.put(DIGEST, drawing(title="old", created_at_ms=now_ms() - 1000))
    newer = drawing(title="new")
    assert await Kept(results, archive).ensure_for_job(Improved(DIGEST, newer, "MISS"))
    assert newer == await results.get(DIGEST)
