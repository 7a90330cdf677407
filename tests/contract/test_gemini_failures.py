"""The product's Gemini against the stand-in: each failure of theirs is one of our errors, after one call."""

from __future__ import annotations

from typing import Any

import pytest
from rubydraw.errors import (
    BadAnswer,
    ContentRefused,
    GeminiBusy,
    GeminiFailed,
    Misconfigured,
    NoImage,
    NotAccepted,
    OutOfTime,
    SketchError,
)
from rubydraw.gemini import exchange
from rubydraw.gemini.answer import REFUSING
from rubydraw.gemini.client import Gemini

from tests.contract.gemini_calls import MakeGemini, draw, failure
from tests.contract.wire_proxy import WireProxy
from tests.servers import Server, free_port
from tests.stand_ins import GeminiStandIn


@pytest.mark.parametrize(
    ("status", "kind", "billed"),
    [
        (400, NotAccepted, True),
        (401, Misconfigured, False),
        (403, Misconfigured, False),
        (404, Misconfigured, False),
        (408, OutOfTime, True),
        (429, GeminiBusy, False),
        (499, GeminiFailed, True),
        (500, GeminiFailed, True),
        (502, GeminiFailed, True),
        (503, GeminiBusy, False),
        (504, OutOfTime, True),
    ],
)
async def test_status_is_one_of_our_errors(
    gemini: Gemini, gemini_stand_in: GeminiStandIn, status: int, kind: type[SketchError], billed: bool
) -> None:
    """After one call: nothing here retries."""
    await gemini_stand_in.fail("status", status=status)
    error = await failure(gemini)
    assert (kind, billed, None) == (type(error), error.may_be_billed, error.retry_after_s)
    assert 1 == await gemini_stand_in.calls()


async def test_a_request_that_cannot_be_made_costs_nothing(
    gemini: Gemini, gemini_stand_in: GeminiStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has left: it is for an operator to correct."""
    monkeypatch.setattr(exchange, "_NO_PARTS", b"as another SDK may write it")
    error = await failure(gemini)
    assert (Misconfigured, False) == (type(error), error.may_be_billed)
    assert 0 == await gemini_stand_in.calls()


async def test_late_503_may_have_been_billed(make_gemini: MakeGemini, gemini_stand_in: GeminiStandIn) -> None:
    """After five seconds it is no refusal of the call any more."""
    readings = iter([0.0, 5.1])
    await gemini_stand_in.fail("status", status=503)
    error = await failure(make_gemini(clock=lambda: next(readings)))
    assert (GeminiFailed, True) == (type(error), error.may_be_billed)


@pytest.mark.parametrize("status", [429, 503])
async def test_overload_says_when_to_come_back(gemini: Gemini, gemini_stand_in: GeminiStandIn, status: int) -> None:
    """As Gemini named it, to the fraction of a second."""
    await gemini_stand_in.fail("status", status=status, retry_after_s=12.5)
    assert 12.5 == (await failure(gemini)).retry_after_s


@pytest.mark.parametrize("reason", sorted(REFUSING - {"ESCALATION", "PUP_LIMITED_DISABLED"}))
async def test_refusing_finish_reason_is_final(gemini: Gemini, gemini_stand_in: GeminiStandIn, reason: str) -> None:
    """Same sketch, same answer."""
    await gemini_stand_in.fail("refuse", reason=reason)
    error = await failure(gemini)
    assert (ContentRefused, True) == (type(error), error.may_be_billed)


@pytest.mark.parametrize(
    "reason", ["NO_IMAGE", "IMAGE_OTHER", "OTHER", "MAX_TOKENS", "MALFORMED_RESPONSE", "STOP", "UNHEARD_OF"]
)
async def test_other_ends_without_a_picture_may_be_tried_again(
    gemini: Gemini, gemini_stand_in: GeminiStandIn, reason: str
) -> None:
    """A reason that this version has never heard of, too."""
    await gemini_stand_in.fail("refuse", reason=reason)
    error = await failure(gemini)
    assert (NoImage, True) == (type(error), error.may_be_billed)


@pytest.mark.parametrize("reason", ["SAFETY", "PROHIBITED_CONTENT", "MODEL_ARMOR", "OTHER"])
async def test_blocked_prompt_is_final(gemini: Gemini, gemini_stand_in: GeminiStandIn, reason: str) -> None:
    """Whatever blocked it."""
    await gemini_stand_in.fail("refuse", reason=reason, blocked=True)
    assert ContentRefused is type(await failure(gemini))


async def test_answer_of_text_alone_may_be_tried_again(gemini: Gemini, gemini_stand_in: GeminiStandIn) -> None:
    """The model was in the mood to talk."""
    await gemini_stand_in.fail("no_image")
    assert NoImage is type(await failure(gemini))


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        ("html", BadAnswer),
        ("cut_json", BadAnswer),
        ("bad_base64", BadAnswer),
        ("not_an_image", BadAnswer),
        ("empty", NoImage),
    ],
)
async def test_garbage_may_be_tried_again(
    gemini: Gemini, gemini_stand_in: GeminiStandIn, what: str, kind: type[SketchError]
) -> None:
    """It may have been billed all the same."""
    await gemini_stand_in.fail("garbage", what=what)
    error = await failure(gemini)
    assert (kind, True) == (type(error), error.may_be_billed)


async def test_hung_call_ends_in_time(gemini: Gemini, gemini_stand_in: GeminiStandIn) -> None:
    """And Gemini sees the caller go."""
    await gemini.load()
    await gemini_stand_in.fail("hang")
    error = await failure(gemini, timeout_s=1)
    assert (OutOfTime, True) == (type(error), error.may_be_billed)
    await gemini_stand_in.until_waiting(0)


async def test_slow_call_ends_at_the_setting_at_the_latest(
    make_gemini: MakeGemini, gemini_stand_in: GeminiStandIn
) -> None:
    """`GEMINI_TIMEOUT_S` is the SDK's own limit, too."""
    await gemini_stand_in.fail("hang")
    assert OutOfTime is type(await failure(make_gemini(GEMINI_TIMEOUT_S="1")))


async def test_slow_answer_within_its_time_counts(gemini: Gemini, gemini_stand_in: GeminiStandIn) -> None:
    """The drawing says how long it took."""
    await gemini_stand_in.fail("slow", seconds=0.2)
    assert (await draw(gemini)).provider_ms >= 200


async def test_gemini_that_cannot_be_reached_bills_nothing(make_gemini: MakeGemini) -> None:
    """No call arrived."""
    error = await failure(make_gemini(GEMINI_BASE_URL=f"http://127.0.0.1:{free_port()}"))
    assert (GeminiFailed, False) == (type(error), error.may_be_billed)


@pytest.mark.parametrize("spoilt", [{"drop": 1}, {"lose": 1}], ids=["request lost", "answer lost"])
async def test_broken_connection_may_have_been_billed(
    make_gemini: MakeGemini, gemini_server: Server, spoilt: dict[str, Any]
) -> None:
    """Nobody knows whether the call arrived, so it is not made again here."""
    wire = WireProxy(gemini_server.port, **spoilt)
    async with wire.listening():
        error = await failure(make_gemini(GEMINI_BASE_URL=f"http://127.0.0.1:{wire.address}"))
    assert (GeminiFailed, True, 1) == (type(error), error.may_be_billed, wire.connections)
