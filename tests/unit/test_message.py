"""Jobs on their way through Pub/Sub: what is written is what is read, and nothing else is taken for a job."""

from __future__ import annotations

import uuid
from dataclasses import fields, replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rubydraw.errors import BadSketch
from rubydraw.jobs.message import JobMessage, Malformed, NewerSchema, is_request_id
from rubydraw.principal import Limits, Principal
from rubydraw.settings import MOST_PNG_BYTES
from rubydraw.sketch import MAX_HINTS_CHARS, MAX_SVG_BYTES, MAX_VARIANT, Sketch

from tests.unit.pngs import png
from tests.unit.test_envelope import delivery

MAX_PNG_BYTES = 5 * 1024 * 1024
REQUEST_ID = "0b8f3a52-6c1d-4e7f-9a3b-5d2c1e4f6a7b"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PNG = png()
MESSAGE_BYTES, OWNER_BYTES = 10_000_000, 1024
"""What Pub/Sub takes (its page "Quotas and limits"): in one message, and in one attribute."""
HEAD: dict[str, object] = {"schema": 1, "svg": "<svg/>", "hints": "a cat", "variant": 2}


def job(svg: str = "<svg/>", hints: str = "a cat", variant: int = 2) -> JobMessage:
    sketch = Sketch.from_png(PNG, svg, hints, variant, max_png_bytes=MAX_PNG_BYTES)
    return JobMessage(REQUEST_ID, "owner", 1_795_446_000_123, 4, "d1" * 32, TRACEPARENT, sketch)


def read(data: bytes, attributes: dict[str, str], max_png_bytes: int = MAX_PNG_BYTES) -> JobMessage:
    return JobMessage.read(data, attributes, max_png_bytes=max_png_bytes)


@given(st.text(max_size=40), st.text(max_size=40), st.integers(0, 999))
def test_what_is_written_is_read(svg: str, hints: str, variant: int) -> None:
    """Any sketch makes the way there unchanged, line ends in its words included."""
    try:
        written = job(svg, hints, variant)
    except BadSketch:  # refused words never become a job
        return
    assert written == read(written.data(), written.attributes())


def test_the_data_is_one_line_of_json_and_the_raw_png() -> None:
    """The form that other revisions rely on."""
    assert all(getattr(job().sketch, field.name) for field in fields(Sketch)), "a field of Sketch is left out here"
    line, _, rest = job().data().partition(b"\n")
    assert (orjson.loads(line), rest) == (HEAD, PNG)


def test_only_a_refresh_is_written_in_the_newer_schema() -> None:
    """Workers of the revision before leave it alone, as they must, and take every other job."""
    refresh = replace(job(), refresh=True)
    line, _, rest = refresh.data().partition(b"\n")
    assert (HEAD | {"schema": 2, "refresh": True}, PNG) == (orjson.loads(line), rest)
    assert refresh == read(refresh.data(), refresh.attributes())


def test_what_is_empty_is_no_attribute() -> None:
    """Pub/Sub takes no empty values for granted: owner, digest and trace may be absent."""
    bare = replace(job(), owner="", digest="", traceparent="")
    assert {"request_id", "created_at", "generation"} == set(bare.attributes())
    assert bare == read(bare.data(), bare.attributes())


@pytest.mark.parametrize(
    "request_id",
    [
        "",
        REQUEST_ID.upper(),
        REQUEST_ID.replace("-", ""),
        "{" + REQUEST_ID + "}",
        REQUEST_ID + "\n",
        " " + REQUEST_ID,
        REQUEST_ID.replace("-4", "-1", 1),
        REQUEST_ID.replace("-9", "-c", 1),
        REQUEST_ID.replace("0", "\u0660", 1),
        "*",
        "../../etc/passwd",
        "x\r\nFLUSHALL\r\n",
        "\0",
        "\ud800",
        "a" * 1_000_000,
    ],
)
def test_only_a_lower_case_uuid_v4_is_a_request_id(request_id: str) -> None:
    """Nothing else can get into a key, and a message with it names no job."""
    assert not is_request_id(request_id)
    with pytest.raises(Malformed) as malformed:
        read(job().data(), job().attributes() | {"request_id": request_id})
    assert malformed.value.request_id == ""


def test_ids_of_the_standard_library_are_request_ids() -> None:
    """What submit makes, claim accepts."""
    assert all(is_request_id(str(uuid.uuid4())) for _ in range(50))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        PNG,
        b"{}\n" + PNG,
        b"[]\n" + PNG,
        b"null\n" + PNG,
        b"{\n" + PNG,
        orjson.dumps(HEAD),
        orjson.dumps(HEAD) + b"\n",
        orjson.dumps(HEAD) + b"\n" + PNG[:-5],
        orjson.dumps(HEAD) + b"\r\n\r\n" + PNG,
        orjson.dumps(HEAD | {"schema": 0}) + b"\n" + PNG,
        orjson.dumps(HEAD | {"schema": "2"}) + b"\n" + PNG,
        orjson.dumps(HEAD | {"schema": None}) + b"\n" + PNG,
        orjson.dumps(HEAD | {"schema": 2}) + b"\n" + PNG,
        orjson.dumps(HEAD | {"schema": 2, "refresh": 1}) + b"\n" + PNG,
        orjson.dumps(HEAD | {"schema": True}) + b"\n" + PNG,
        orjson.dumps(HEAD | {"svg": None}) + b"\n" + PNG,
        orjson.dumps(HEAD | {"hints": 5}) + b"\n" + PNG,
        orjson.dumps(HEAD | {"hints": "\x00"}) + b"\n" + PNG,
        orjson.dumps(HEAD | {"hints": "x" * 2001}) + b"\n" + PNG,
        orjson.dumps(HEAD | {"variant": True}) + b"\n" + PNG,
        orjson.dumps(HEAD | {"variant": 1.0}) + b"\n" + PNG,
        orjson.dumps(HEAD | {"variant": 1000}) + b"\n" + PNG,
        b"[" * 100_000 + b"\n" + PNG,
        b'{"schema": 1, "svg": "\\ud800", "hints": "", "variant": 0}\n' + PNG,
    ],
)
def test_bad_data_names_its_job_so_that_it_can_be_settled(data: bytes) -> None:
    """A job whose id can be read is not left waiting."""
    with pytest.raises(Malformed) as malformed:
        read(data, job().attributes())
    assert malformed.value.request_id == REQUEST_ID


def test_a_replayed_job_says_when() -> None:
    """Its age counts from then, also where Redis has lost it."""
    replayed = replace(job(), replayed_at_ms=1_795_446_000_999)
    assert "1795446000999" == replayed.attributes()["replayed_at"]
    assert replayed == read(replayed.data(), replayed.attributes())
    with pytest.raises(Malformed):
        read(replayed.data(), replayed.attributes() | {"replayed_at": "now"})


@pytest.mark.parametrize("name", ["created_at", "generation"])
@pytest.mark.parametrize("value", ["", "-1", "1.5", "1e9", " 1", "1\n", "\u0661", "0x1", "9" * 16, None])
def test_numbers_in_attributes_are_whole(name: str, value: str | None) -> None:
    """Anything but decimal digits is malformed."""
    attributes = {key: text for key, text in (job().attributes() | {name: value}).items() if text is not None}
    with pytest.raises(Malformed):
        read(job().data(), attributes)


def test_a_time_that_no_clock_can_show_is_malformed() -> None:
    """created_at becomes a date for clients: it must be one."""
    with pytest.raises(Malformed):
        read(job().data(), job().attributes() | {"created_at": "9" * 15})


@pytest.mark.parametrize("head", [{"schema": 3}, {"schema": 99, "sketch": {}}, HEAD | {"schema": 3, "svg": None}])
def test_a_newer_schema_is_left_to_a_newer_revision(head: dict[str, object]) -> None:
    """Whatever else has changed in it."""
    with pytest.raises(NewerSchema):
        read(orjson.dumps(head) + b"\nanything", {"request_id": REQUEST_ID})


def test_the_limit_on_pictures_holds_for_messages_too() -> None:
    """The worker checks its input as the endpoint does."""
    with pytest.raises(Malformed, match="at most 40 are allowed"):
        read(job().data(), job().attributes(), max_png_bytes=40)


def test_the_largest_job_fits_into_a_message_and_into_its_dead_letter() -> None:
    """Whatever MAX_PNG_BYTES allows: one that does not fit could not be handed over, or would be kept cut."""
    for svg in ('"' * MAX_SVG_BYTES, "\U0001f408" * (MAX_SVG_BYTES // 4)):
        largest = replace(job(svg, "\U0001f408" * MAX_HINTS_CHARS, MAX_VARIANT), refresh=True)
        data_bytes = len(largest.data()) - len(PNG) + MOST_PNG_BYTES
        assert data_bytes <= delivery.MAX_DEAD_LETTER_BYTES
        attributes_bytes = 100 * len(largest.attributes()) + 2 * OWNER_BYTES
        assert data_bytes * 4 / 3 + attributes_bytes < MESSAGE_BYTES


def test_what_was_wrong_is_told_without_the_words_of_the_user() -> None:
    """The text of Malformed may be logged."""
    with pytest.raises(Malformed) as malformed:
        read(orjson.dumps(HEAD | {"hints": "canary\x00canary"}) + b"\n" + PNG, job().attributes())
    assert "canary" not in str(malformed.value)


@given(st.binary(max_size=80), st.dictionaries(st.sampled_from(list(job().attributes())), st.text(max_size=20)))
def test_no_message_crashes(data: bytes, attributes: dict[str, str]) -> None:
    """Anything is a job, Malformed or NewerSchema."""
    for candidate in (data, b'{"schema": ' + data, orjson.dumps(HEAD) + b"\n" + data):
        for named in (attributes, attributes | {"request_id": REQUEST_ID}):
            with pytest.raises((Malformed, NewerSchema)):
                read(candidate, named)


@pytest.mark.parametrize("dollars", [None, 0.0, 0.001, 2.5, 999_999.0])
@pytest.mark.parametrize("calls", [None, 0, 7])
def test_on_whose_account_a_call_is_made_comes_with_the_job(calls: int | None, dollars: float | None) -> None:
    """And what its key may spend: the worker knows no keys, and would take the ceilings of everybody."""
    payer = Principal(account="key:ada", limits=Limits(calls_per_day=calls, dollars_per_day=dollars))
    written = replace(job(), payer=payer)
    assert payer == read(written.data(), written.attributes()).payer
