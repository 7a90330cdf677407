"""What Pub/Sub wraps around a message, taken apart by the worker."""

from __future__ import annotations

import base64
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

DELIVERY = Path(__file__).parents[2] / "functions" / "worker" / "delivery.py"


def _loaded(path: Path) -> ModuleType:
    # By its path: the functions' folders are no packages, and one of them is named like graphql-core.
    spec = importlib.util.spec_from_file_location("delivery_of_the_worker", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


delivery = _loaded(DELIVERY)

DATA = b'{"schema":1}\n\x89PNG\xff\x00'
MESSAGE: dict[str, Any] = {
    "data": base64.b64encode(DATA).decode(),
    "attributes": {"request_id": "r", "owner": ""},
    "messageId": "1",
    "message_id": "1",
    "publishTime": "2026-11-23T15:00:00Z",
    "publish_time": "2026-11-23T15:00:00Z",
}
PUSH: dict[str, Any] = {"subscription": "projects/p/subscriptions/s", "message": MESSAGE, "deliveryAttempt": 4}


def envelope(body: object) -> Any:
    return delivery._envelope(body if isinstance(body, bytes) else orjson.dumps(body))


def without(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


def test_a_push_is_taken_apart() -> None:
    """Data, attributes, message id and delivery attempt, as the real service sends them."""
    assert delivery.Envelope(DATA, MESSAGE["attributes"], "1", 4) == envelope(PUSH)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (without(PUSH, "deliveryAttempt", "subscription"), (DATA, MESSAGE["attributes"], "1", 0)),
        (PUSH | {"deliveryAttempt": None}, (DATA, MESSAGE["attributes"], "1", 0)),
        (PUSH | {"message": without(MESSAGE, "attributes")}, (DATA, {}, "1", 4)),
        (PUSH | {"message": MESSAGE | {"attributes": None}}, (DATA, {}, "1", 4)),
        (PUSH | {"message": without(MESSAGE, "data")}, (b"", MESSAGE["attributes"], "1", 4)),
        (PUSH | {"message": MESSAGE | {"data": ""}}, (b"", MESSAGE["attributes"], "1", 4)),
        (PUSH | {"message": without(MESSAGE, "messageId")}, (DATA, MESSAGE["attributes"], "1", 4)),
        (PUSH | {"message": without(MESSAGE, "messageId", "message_id")}, (DATA, MESSAGE["attributes"], "", 4)),
        (PUSH | {"message": MESSAGE | {"orderingKey": "k"}, "more": [1]}, (DATA, MESSAGE["attributes"], "1", 4)),
    ],
)
def test_what_may_be_absent_may_be_absent(body: dict[str, Any], expected: tuple[object, ...]) -> None:
    """Emulators say less than the service, and newer services say more."""
    assert delivery.Envelope(*expected) == envelope(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00",
        b"<html>",
        orjson.dumps(PUSH)[:-1],
        b"[" * 100_000,
        b'{"message": NaN}',
        b'{"message": {"data": "", "attributes": {"a": "\\ud800"}}}',
        None,
        [],
        "message",
        5,
        {},
        {"message": None},
        {"message": []},
        {"message": "x"},
        *({"message": MESSAGE | {"data": data}} for data in ("Zm9", "Zm9v\n", "Zm9v-_==", "é", "\0", 5, {"a": 1})),
        *({"message": MESSAGE | {"attributes": attributes}} for attributes in ("x", ["a"], {"a": 1}, {"a": None}, 5)),
        {"message": MESSAGE | {"messageId": 5}},
        PUSH | {"deliveryAttempt": "4"},
        PUSH | {"deliveryAttempt": 4.5},
        PUSH | {"deliveryAttempt": {"a": 1}},
    ],
)
def test_anything_else_is_no_envelope(body: object) -> None:
    """It is told apart from a message: it can be kept, but never understood."""
    assert envelope(body) is None


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=40)
@given(
    st.dictionaries(st.sampled_from(list(PUSH)), JSON_VALUES),
    st.dictionaries(st.sampled_from(list(MESSAGE)), JSON_VALUES),
    st.binary(max_size=60),
)
def test_no_body_crashes(outer: dict[str, Any], inner: dict[str, Any], raw: bytes) -> None:
    """Whatever is posted is an envelope of the right types, or none."""
    for body in (outer, PUSH | {"message": MESSAGE | inner}, PUSH | outer, raw):
        found = envelope(body)
        if found is None:
            continue
        assert (bytes, dict, str) == (type(found.data), type(found.attributes), type(found.message_id))
        assert isinstance(found.attempt, int)
        assert all(isinstance(text, str) for pair in found.attributes.items() for text in pair)
