"""The product's Gemini against the stand-in: a drawing in every mode, and each failure of theirs as one of ours."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from PIL import Image
from rubydraw.drawing import Drawing
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
from rubydraw.gemini import REFUSING, Gemini
from rubydraw.prompt import PROMPT_VERSION
from rubydraw.settings import Settings

from tests.contract.accounts import TokenServer
from tests.contract.wire_proxy import WireProxy
from tests.servers import Server, free_port
from tests.sketches import sketch
from tests.stand_ins import GeminiStandIn

KEY = "a-throw-away-key"
MODES = {
    "api": {"GEMINI_API_KEY": KEY},
    "express": {"GEMINI_API_KEY": KEY},
    "vertex": {"GEMINI_PROJECT": "test-project", "GEMINI_LOCATION": "europe-west1"},
}
MakeGemini = Callable[..., Gemini]


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
    return make_gemini()


async def draw(gemini: Gemini, *, timeout_s: float = 10) -> Drawing:
    return await gemini.draw(sketch(), timeout_s=timeout_s, now_ms=1_000_000)


async def failure(gemini: Gemini, *, timeout_s: float = 10) -> SketchError:
    """The error of one call, which must not carry a word that was not ours."""
    with pytest.raises(SketchError) as caught:
        await draw(gemini, timeout_s=timeout_s)
    error = caught.value
    assert error.code.sentence == str(error) == error.message
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    return error


# drawings


@pytest.mark.parametrize("mode", MODES)
async def test_every_mode_brings_a_drawing(
    make_gemini: MakeGemini, gemini_stand_in: GeminiStandIn, token_server: TokenServer, mode: str
) -> None:
    """In vertex mode with a token of the ambient credentials, otherwise with the key alone; one call each."""
    drawing = await draw(make_gemini(mode))
    with Image.open(io.BytesIO(drawing.image)) as picture:
        picture.load()
        assert ("PNG", 1024) == (picture.format, max(picture.size))
    assert ("gemini-3.1-flash-image", PROMPT_VERSION, False) == (
        drawing.model, drawing.prompt_version, drawing.fallback_metadata,
    )  # fmt: skip
    assert ("transparent", True, True) == (drawing.background, bool(drawing.title), "not by Gemini" in drawing.notes)
    assert 1_000_000 + drawing.provider_ms == drawing.created_at_ms
    assert 0 < drawing.provider_ms < 10_000
    assert 1 == await gemini_stand_in.calls()
    assert (mode == "vertex") == bool(token_server.scopes)


async def test_key_of_the_shell_does_not_beat_that_of_the_settings(
    make_gemini: MakeGemini, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`GOOGLE_API_KEY` would, and `GOOGLE_GENAI_USE_VERTEXAI` would change the mode."""
    monkeypatch.setenv("GOOGLE_API_KEY", "another")
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    client = await make_gemini().load()
    assert (KEY, False) == (client._api_client.api_key, bool(client.vertexai))


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
async def test_other_formats_become_png(gemini: Gemini, gemini_stand_in: GeminiStandIn, kind: str) -> None:
    """Whatever the label says, which is image/png here."""
    await gemini_stand_in.fail(kind)
    with Image.open(io.BytesIO((await draw(gemini)).image)) as picture:
        picture.load()
        assert ("PNG", 1024) == (picture.format, max(picture.size))


async def test_calls_in_flight_are_not_capped_at_a_hundred(
    make_gemini: MakeGemini, gemini_stand_in: GeminiStandIn
) -> None:
    """The connection pool is as large as the setting; callers that go away end their calls."""
    gemini = make_gemini(MAX_IN_FLIGHT="120")
    await gemini_stand_in.fail("hang", times=110)
    drawing = [asyncio.create_task(draw(gemini, timeout_s=30)) for _ in range(110)]
    await gemini_stand_in.until_waiting(110)
    for task in drawing:
        task.cancel()
    await asyncio.gather(*drawing, return_exceptions=True)
    await gemini_stand_in.until_waiting(0)


# answers other than 200


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


# answers without a picture


@pytest.mark.filterwarnings("ignore:.* is not a valid FinishReason")
@pytest.mark.parametrize("reason", sorted(REFUSING - {"ESCALATION", "PUP_LIMITED_DISABLED"}))
async def test_refusing_finish_reason_is_final(gemini: Gemini, gemini_stand_in: GeminiStandIn, reason: str) -> None:
    """Same sketch, same answer."""
    await gemini_stand_in.fail("refuse", reason=reason)
    error = await failure(gemini)
    assert (ContentRefused, True) == (type(error), error.may_be_billed)


@pytest.mark.filterwarnings("ignore:.* is not a valid FinishReason")
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


# no answer


async def test_hung_call_ends_in_time(gemini: Gemini, gemini_stand_in: GeminiStandIn) -> None:
    """And Gemini sees the caller go."""
    await gemini.load()
    await gemini_stand_in.fail("hang")
    error = await failure(gemini, timeout_s=0.3)
    assert (OutOfTime, True) == (type(error), error.may_be_billed)
    await gemini_stand_in.until_waiting(0)


async def test_slow_call_ends_at_the_setting_at_the_latest(
    make_gemini: MakeGemini, gemini_stand_in: GeminiStandIn
) -> None:
    """`GEMINI_TIMEOUT_S` is the SDK's own limit, too."""
    await gemini_stand_in.fail("hang")
    assert OutOfTime is type(await failure(make_gemini(GEMINI_TIMEOUT_S="0.3")))


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


# credentials


async def test_absent_credentials_are_the_operators_to_correct(
    make_gemini: MakeGemini, gemini_stand_in: GeminiStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was billed; the next call looks again."""
    gemini = make_gemini("vertex")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent/account.json")
    for _ in range(2):
        error = await failure(gemini)
        assert (Misconfigured, False) == (type(error), error.may_be_billed)
    assert 0 == await gemini_stand_in.calls()


async def test_refused_token_is_the_operators_to_correct(
    make_gemini: MakeGemini, gemini_stand_in: GeminiStandIn, token_server: TokenServer
) -> None:
    """The account was deleted, say; once it is there again, so are the drawings."""
    gemini = make_gemini("vertex")
    token_server.refuses = True
    error = await failure(gemini)
    assert (Misconfigured, False) == (type(error), error.may_be_billed)
    assert 0 == await gemini_stand_in.calls()
    token_server.refuses = False
    assert (await draw(gemini)).image


async def test_ten_first_calls_import_the_sdk_once(gemini: Gemini) -> None:
    """They wait for the same client."""
    clients = await asyncio.gather(*(gemini.load() for _ in range(10)))
    assert 1 == len({id(client) for client in clients})
