"""The archive on S3, on Google Cloud Storage's wire format and in a folder: what is kept, and what a fault costs."""

from __future__ import annotations

import asyncio
import gc
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from rubydraw import logs
from rubydraw.drawing import Drawing
from rubydraw.drawings import archive as archive_module
from rubydraw.drawings.archive import FAILURES, FORMAT, OPEN_S, Archive
from rubydraw.errors import StoreUnavailable
from rubydraw.settings import Settings

from tests.contract.object_stores import BUCKET, S3, Gcs
from tests.contract.wire_proxy import WireProxy
from tests.servers import free_port
from tests.sketches import drawing, png

DIGEST = "ab" * 32
OTHER = "cd" * 32
AWAY = "nobody can say"
Kept = Callable[[Archive, str, Drawing], Awaitable[None]]


def archive(url: str, endpoint: str = "", clock: Callable[[], float] | None = None) -> Archive:
    named = {"ARCHIVE_URL": url, "ARCHIVE_ENDPOINT": endpoint}
    settings = Settings.from_env({"REDIS_URL": "redis://nowhere", "GEMINI_API_KEY": "k", **named})
    return Archive(settings, clock=clock) if clock else Archive(settings)


async def read(kept_in: Archive) -> Drawing | str | None:
    """The drawing that a read finds, or that nobody can say."""
    try:
        return await kept_in.get(DIGEST)
    except StoreUnavailable:
        return AWAY


async def keep(kept_in: Archive, digest: str, kept: Drawing) -> None:
    kept_in.begin_keeping(digest, kept)
    await kept_in.written(digest)


@dataclass
class Place:
    """Where an archive keeps things, seen from the other side."""

    archive: Archive
    get: Callable[[str], bytes]
    put: Callable[[str, bytes], object]


@pytest.fixture(params=["file", "s3", "gs"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Each kind of store, with a prefix."""
    match request.param:
        case "file":
            folder = tmp_path / "not yet there"
            return Place(
                archive(f"file://{folder}"),
                lambda path: (folder / path).read_bytes(),
                lambda path, data: (folder / path).write_bytes(data),
            )
        case "s3":
            s3: S3 = request.getfixturevalue("s3")
            return Place(
                archive(f"s3://{BUCKET}/one/two", s3.url),
                lambda path: s3.get(f"one/two/{path}"),
                lambda path, data: s3.put(f"one/two/{path}", data),
            )
    gcs: Gcs = request.getfixturevalue("gcs")
    return Place(
        archive(f"gs://{BUCKET}/one/two", gcs.url),
        lambda path: gcs.objects[f"{BUCKET}/one/two/{path}"],
        lambda path, data: gcs.objects.update({f"{BUCKET}/one/two/{path}": data}),
    )


async def test_drawing_comes_back_as_it_was_kept(place: Place) -> None:
    """In one object that says what it is, found by its digest and by its picture."""
    kept = drawing()
    assert (None, "") == (await place.archive.get(DIGEST), await place.archive.digest_of(kept.image_sha256))
    await keep(place.archive, DIGEST, kept)
    assert kept == await place.archive.get(DIGEST)
    assert DIGEST == await place.archive.digest_of(kept.image_sha256)
    data = place.get(f"drawings/{DIGEST}")
    assert data.startswith(b"rubydraw drawing 1 ")
    assert data.endswith(b"\n" + kept.image)
    assert b'"prompt_version":"p1"' in data


async def test_new_drawing_takes_the_place_of_the_old(place: Place) -> None:
    """One object for each digest."""
    await keep(place.archive, DIGEST, drawing(title="old"))
    fresh = drawing(title="new", image=png(7), image_sha256="")
    await keep(place.archive, DIGEST, fresh)
    assert fresh == await place.archive.get(DIGEST)


async def test_of_two_drawings_at_once_the_newer_one_is_written_last(place: Place) -> None:
    """However long the older one takes: its write is waited for."""
    old, new = drawing(title="old", image=png(7) + bytes(2_000_000), image_sha256=""), drawing(title="new")
    for kept in (old, new):
        place.archive.begin_keeping(DIGEST, kept)
    await place.archive.written(DIGEST)
    assert new == await place.archive.get(DIGEST)


async def test_drawing_with_fallback_metadata_is_not_kept(place: Place) -> None:
    """The next call may bring better words."""
    await keep(place.archive, DIGEST, drawing(fallback_metadata=True))
    assert None is await place.archive.get(DIGEST)


async def test_drawing_with_fallback_metadata_ends_the_one_that_it_replaces(place: Place) -> None:
    """Refreshed for a price, the older one came back for good as soon as Redis had let go of the new one."""
    await keep(place.archive, DIGEST, drawing(title="old"))
    await keep(place.archive, OTHER, kept := drawing(title="another's"))
    await keep(place.archive, DIGEST, drawing(title="new", fallback_metadata=True))
    assert (None, kept) == (await place.archive.get(DIGEST), await place.archive.get(OTHER))


def hashed(rest: bytes) -> bytes:
    """Return an object of which nothing is right but its hash."""
    return FORMAT + hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


def of_a_newer_revision(data: bytes) -> bytes:
    """Return the object with one word more, and the hash of that."""
    return hashed(data.partition(b"\n")[2].replace(b"{", b'{"licence":"MIT",', 1))


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[:-20],
    "cut to its head": lambda data: data.partition(b"\n")[0],
    "empty": lambda _: b"",
    "changed": lambda data: data.replace(b"flat", b"flap"),
    "foreign": lambda _: b"GIF89a and so on",
    "of another format": lambda data: data.replace(b"drawing 1", b"drawing 2"),
    "of a newer revision": of_a_newer_revision,
    "no drawing: nothing": lambda _: hashed(b"\n"),
    "no drawing: a list": lambda _: hashed(b"[]\n"),
    "no drawing: no words": lambda _: hashed(b"{}\n"),
    "no drawing: one word": lambda _: hashed(b'{"digest": 1}\n'),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_damaged_object_is_absent_and_written_over(place: Place, broken: Callable[[bytes], bytes]) -> None:
    """A reader never fails over it, and the archive is not held to be down."""
    kept, path = drawing(), f"drawings/{DIGEST}"
    await keep(place.archive, DIGEST, kept)
    place.put(path, broken(place.get(path)))
    assert [None] * (FAILURES + 1) == [await place.archive.get(DIGEST) for _ in range(FAILURES + 1)]
    await keep(place.archive, DIGEST, kept)
    assert kept == await place.archive.get(DIGEST)


async def test_object_under_another_key_is_absent(place: Place) -> None:
    """Whoever copied it there."""
    await keep(place.archive, DIGEST, drawing())
    await keep(place.archive, OTHER, drawing())
    place.put(f"drawings/{OTHER}", place.get(f"drawings/{DIGEST}"))
    assert None is await place.archive.get(OTHER)
    place.put(f"pictures/{OTHER}", b"../" + DIGEST.encode())
    assert "" == await place.archive.digest_of(OTHER)


async def test_without_an_address_nothing_is_kept() -> None:
    """The default: nothing is opened, nothing is written."""
    off = archive("")
    await keep(off, DIGEST, drawing())
    assert None is await off.get(DIGEST)


async def test_s3_that_hangs_costs_a_second_and_is_then_left_alone(s3: S3) -> None:
    """Callers at once wait together; those who come next do not wait; one tries again after ten seconds."""
    now_s = 0.0
    proxy = WireProxy(s3.port, silent=True)
    async with proxy.listening():
        hanging = archive(f"s3://{BUCKET}", f"http://127.0.0.1:{proxy.address}", lambda: now_s)
        assert [AWAY] * FAILURES == await asyncio.gather(*(read(hanging) for _ in range(FAILURES)))
        reached = proxy.connections
        async with asyncio.timeout(0.5):
            for _ in range(20):
                assert AWAY == await read(hanging)
                await keep(hanging, DIGEST, drawing())
        assert reached == proxy.connections
        proxy.silent = False
        now_s += OPEN_S
        await keep(hanging, DIGEST, kept := drawing())
        assert kept == await hanging.get(DIGEST)


async def test_s3_that_is_slow_is_waited_for_until_its_deadline(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes in time is as good as any; what comes later is no drawing, and counts as a failure."""
    monkeypatch.setattr(archive_module, "DEADLINE_S", 4.0)  # this machine may be slow for a second itself
    await keep(archive(f"s3://{BUCKET}", s3.url), DIGEST, kept := drawing())
    proxy = WireProxy(s3.port)
    async with proxy.listening():
        slow = archive(f"s3://{BUCKET}", f"http://127.0.0.1:{proxy.address}")
        for slow_s, found, failures in ((0.2, kept, 0), (5, AWAY, 1), (0, kept, 0)):
            proxy.slow_s = slow_s
            assert (found, failures) == (await read(slow), slow._failures)


FAULTS: dict[str, bytes] = {
    "500": b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    "503": b"HTTP/1.1 503 Slow Down\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    "cut on its way": b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n%b\r\nrubydraw drawing 1 "
    % b'etag: "1"\r\nlast-modified: Tue, 24 Nov 2026 10:00:00 GMT\r\n',
    "no HTTP": b"220 ready\r\n",
}


@pytest.mark.parametrize("said", FAULTS.values(), ids=FAULTS)
async def test_each_fault_of_s3_is_no_drawing(s3: S3, said: bytes) -> None:
    """It is asked once: the deadline leaves no room for retries. What is kept is found again afterwards."""
    await keep(archive(f"s3://{BUCKET}", s3.url), DIGEST, kept := drawing())
    proxy = WireProxy(s3.port, instead=said)
    async with proxy.listening():
        faulty = archive(f"s3://{BUCKET}", f"http://127.0.0.1:{proxy.address}")
        assert AWAY == await read(faulty)
        assert (1, 1) == (faulty._failures, proxy.connections)
        proxy.instead = b""
        assert kept == await faulty.get(DIGEST)


async def test_a_missing_bucket_is_no_drawing_and_is_told(s3: S3) -> None:
    """A write that goes nowhere is a failure, not a success."""
    nowhere = archive("s3://no-such-bucket", s3.url)
    await keep(nowhere, DIGEST, drawing())
    assert 1 == nowhere._failures
    assert None is await nowhere.get(DIGEST)


async def test_wrong_credentials_are_no_drawing(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server refuses the signature; what is kept is not shown."""
    await keep(archive(f"s3://{BUCKET}", s3.url), DIGEST, kept := drawing())
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    refused = archive(f"s3://{BUCKET}", s3.url)
    assert AWAY == await read(refused)
    assert 1 == refused._failures
    await keep(refused, DIGEST, drawing(title="never"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.credentials["AWS_SECRET_ACCESS_KEY"])
    assert kept == await archive(f"s3://{BUCKET}", s3.url).get(DIGEST)


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_each_refusal_of_google_is_no_drawing(gcs: Gcs, status: int) -> None:
    """It is asked once: the deadline leaves no room for retries."""
    refused = archive(f"gs://{BUCKET}", gcs.url)
    gcs.status = status
    assert AWAY == await read(refused)
    assert [f"GET {BUCKET}/drawings/{DIGEST}"] == gcs.requests
    gcs.status = 0
    await keep(refused, DIGEST, kept := drawing())
    assert kept == await refused.get(DIGEST)


@pytest.mark.usefixtures("logging_as_it_was")
async def test_a_fault_is_one_line_without_address_or_key(capsys: pytest.CaptureFixture[str]) -> None:
    """Its kind is told, and nothing of what the library says."""
    logs.start(level="INFO", project="")
    assert AWAY == await read(archive("s3://canary-bucket", f"http://127.0.0.1:{free_port()}"))
    (line,) = capsys.readouterr().out.splitlines()
    told = orjson.loads(line)
    assert ("archive.failed", "read", "GenericError") == (told["message"], told["doing"], told["kind"])
    assert told.keys() <= {"severity", "message", "doing", "kind", "trace"}


async def test_a_write_that_fails_is_told_once_and_by_no_library() -> None:
    """Its task ends quietly: asyncio would tell of another as an ERROR, by which operators are woken."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))
    away = archive("s3://canary-bucket", f"http://127.0.0.1:{free_port()}")
    await keep(away, DIGEST, drawing())
    await asyncio.sleep(0)
    gc.collect()
    assert (1, []) == (away._failures, told)


async def test_an_object_that_is_too_large_is_absent(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else wrote it: it is not even fetched."""
    await keep(place.archive, DIGEST, drawing())
    monkeypatch.setattr(archive_module, "MAX_BYTES", 100)
    assert None is await place.archive.get(DIGEST)
