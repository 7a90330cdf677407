"""The scripted faults of the stand-ins, over their HTTP routes."""

from collections.abc import AsyncIterator
from typing import Literal

import httpx2
import orjson
import pytest
from starlette.applications import Starlette

from emulator.faults import Fault, Faults


class RoadFault(Fault):
    """What a road can play."""

    kind: Literal["jam", "ice", "flood"]


@pytest.fixture
def faults() -> Faults[RoadFault]:
    return Faults(RoadFault)


@pytest.fixture
async def http(faults: Faults[RoadFault]) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=Starlette(routes=faults.routes()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://stand-in") as client:
        yield client


def script(*faults: dict[str, object]) -> bytes:
    return orjson.dumps(faults)


def test_faults_are_taken_in_order_each_as_often_as_it_says(faults: Faults[RoadFault]) -> None:
    """Two jams, then ice, then nothing."""
    faults.append(script({"kind": "jam", "times": 2}, {"kind": "ice"}))
    taken = [faults.take() for _ in range(4)]
    assert ["jam", "jam", "ice", None] == [fault and fault.kind for fault in taken]


def test_a_second_list_follows_the_first(faults: Faults[RoadFault]) -> None:
    """Appending never replaces what is still to come."""
    faults.append(script({"kind": "jam"}))
    faults.append(script({"kind": "ice"}))
    assert ["jam", "ice"] == [fault.kind for fault in (faults.take(), faults.take()) if fault]


def test_a_fault_waits_for_a_taker_of_its_kind(faults: Faults[RoadFault]) -> None:
    """Someone who cannot play the next fault gets none, and uses nothing up."""
    faults.append(script({"kind": "flood", "status": 500}))
    assert None is faults.take("jam", "ice")
    taken = faults.take("flood", "jam")
    assert taken is not None
    assert ("flood", 500) == (taken.kind, taken.status)


async def test_get_shows_what_is_left(faults: Faults[RoadFault], http: httpx2.AsyncClient) -> None:
    """`times` counts down with each call."""
    await http.post("/faults", content=script({"kind": "jam", "times": 3}, {"kind": "ice", "seconds": 2}))
    faults.take()
    left = (await http.get("/faults")).json()
    assert [("jam", 2, 5.0), ("ice", 1, 2.0)] == [(f["kind"], f["times"], f["seconds"]) for f in left]


async def test_delete_clears_the_list(faults: Faults[RoadFault], http: httpx2.AsyncClient) -> None:
    """After DELETE nothing goes wrong any more."""
    await http.post("/faults", content=script({"kind": "jam"}))
    answer = await http.delete("/faults")
    assert (200, []) == (answer.status_code, answer.json())
    assert None is faults.take()


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (script({"kind": "snow"}), "'jam', 'ice' or 'flood'"),
        (script({"times": 2}), "0.kind: Field required"),
        (script({"kind": "jam"}, {"kind": "jam", "times": 0}), "1.times: Input should be greater than or equal to 1"),
        (script({"kind": "jam", "times": True}), "0.times: Input should be a valid integer"),
        (script({"kind": "jam", "seconds": -1}), "0.seconds: Input should be greater than or equal to 0"),
        (script({"kind": "jam", "status": 200}), "0.status: Input should be greater than or equal to 400"),
        (script({"kind": "jam", "colour": "red"}), "0.colour: Extra inputs are not permitted"),
        (b'{"kind": "jam"}', "Input should be a valid"),
        (b"[{", "Invalid JSON"),
        (b"", "Invalid JSON"),
    ],
)
async def test_a_bad_list_is_refused_whole(http: httpx2.AsyncClient, body: bytes, named: str) -> None:
    """400, one line that says where it is wrong and what is allowed, and nothing is added."""
    answer = await http.post("/faults", content=body)
    assert 400 == answer.status_code
    assert named in answer.text
    assert 1 == answer.text.count("\n")
    assert [] == (await http.get("/faults")).json()
