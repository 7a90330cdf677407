"""The product's Gemini against the stand-in: a drawing in every mode, and the credentials it takes."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from rubydraw.errors import GeminiFailed, Misconfigured
from rubydraw.gemini.client import Gemini
from rubydraw.gemini.prompt import PROMPT_VERSION

from tests.contract.accounts import BAD_GRANTS, TokenServer, account_file, federated_file
from tests.contract.gemini_calls import KEY, MODES, MakeGemini, draw, failure
from tests.servers import free_port
from tests.stand_ins import GeminiStandIn


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
    scopes = ["https://www.googleapis.com/auth/cloud-platform"] if mode == "vertex" else []
    assert scopes == token_server.scopes


async def test_key_of_the_shell_does_not_beat_that_of_the_settings(
    make_gemini: MakeGemini, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`GOOGLE_API_KEY` would, and `GOOGLE_GENAI_USE_VERTEXAI` would change the mode."""
    monkeypatch.setenv("GOOGLE_API_KEY", "another")
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    client = (await make_gemini().load()).sdk
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


@pytest.mark.parametrize("granted", BAD_GRANTS)
async def test_grant_without_a_token_is_the_operators_to_correct(
    make_gemini: MakeGemini, gemini_stand_in: GeminiStandIn, token_server: TokenServer, granted: dict[str, object]
) -> None:
    """Nothing was asked of Gemini, and so nothing billed."""
    token_server.granted = granted
    error = await failure(make_gemini("vertex"))
    assert (Misconfigured, False) == (type(error), error.may_be_billed)
    assert 0 == await gemini_stand_in.calls()


@pytest.mark.parametrize("write", [account_file, federated_file])
async def test_token_server_that_cannot_be_reached_may_be_back_soon(
    make_gemini: MakeGemini, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, write: Callable[[Path, str], Path]
) -> None:
    """Nothing that is set is wrong, and nothing was billed."""
    account = write(tmp_path, f"http://127.0.0.1:{free_port()}/token")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
    error = await failure(make_gemini("vertex"), timeout_s=60)
    assert (GeminiFailed, False) == (type(error), error.may_be_billed)


async def test_hanging_token_server_is_asked_once(make_gemini: MakeGemini, token_server: TokenServer) -> None:
    """Whoever gives up leaves one thread behind, and the next one waits for that: pictures need the others."""
    token_server.answering.clear()
    gemini = make_gemini("vertex")
    first, second, third = (asyncio.create_task(draw(gemini, timeout_s=60)) for _ in range(3))
    await token_server.asked.wait()
    error = await failure(gemini, timeout_s=0.1)
    assert (GeminiFailed, False) == (type(error), error.may_be_billed)
    for each in (first, second):
        each.cancel()
        await asyncio.wait([each])
    token_server.answering.set()
    assert (await third).image
    assert 1 == len(token_server.scopes)


async def test_ten_first_calls_import_the_sdk_once(gemini: Gemini) -> None:
    """They wait for the same client."""
    clients = await asyncio.gather(*(gemini.load() for _ in range(10)))
    assert 1 == len({id(client) for client in clients})
