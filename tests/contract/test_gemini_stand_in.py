"""The Gemini stand-in, called by the real google-genai client: answers, faults, counters, checks."""

import asyncio
import base64
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials
from PIL import Image
from pydantic import ValidationError

from tests.servers import free_port

ROOT = Path(__file__).parents[2]
MODEL = "gemini-3.1-flash-image"
PATH = f"/v1beta/models/{MODEL}:generateContent"
KEY = {"x-goog-api-key": "any"}


def png(size: tuple[int, int] = (48, 32)) -> bytes:
    """A black bar on white."""
    picture = Image.new("RGB", size, "white")
    picture.paste("black", (8, 12, 40, 18))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


@contextmanager
def stand_in(**environment: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A stand-in as a process of its own, and its address."""
    port = free_port()
    command = [sys.executable, "-m", "emulator.gemini", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env={"PATH": os.environ["PATH"], **environment})
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                httpx2.get(f"{url}/calls")
                break
            except httpx2.TransportError:
                assert time.monotonic() < deadline, "the stand-in does not start"
                assert process.poll() is None, "the stand-in ended at once"
                time.sleep(0.05)
        yield process, url
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def shared_url() -> Iterator[str]:
    with stand_in() as (_, url):
        yield url


@pytest.fixture
async def http(shared_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A plain client of a stand-in without faults, its counter at nought."""
    async with httpx2.AsyncClient(base_url=shared_url, timeout=20) as client:
        await client.delete("/faults")
        await client.delete("/calls")
        yield client


@asynccontextmanager
async def sdk(url: str, timeout_s: float = 20, **identity: Any) -> AsyncIterator[genai.client.AsyncClient]:
    """The real client. Identity is explicit, so that no key of the shell's reaches it."""
    options = types.HttpOptions(base_url=url, timeout=int(timeout_s * 1000))
    client = genai.Client(http_options=options, **(identity or {"api_key": "any"}))
    try:
        yield client.aio
    finally:
        await client.aio.aclose()
        client.close()


@pytest.fixture
async def gemini(http: httpx2.AsyncClient) -> AsyncIterator[genai.client.AsyncClient]:
    async with sdk(str(http.base_url)) as client:
        yield client


@pytest.fixture(autouse=True)
def _no_ambient_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("GOOGLE_", "GEMINI_"))]:
        monkeypatch.delenv(name)


async def ask(client: genai.client.AsyncClient, picture: bytes | None = None) -> types.GenerateContentResponse:
    """One call as the product makes it."""
    sketch = types.Part.from_bytes(data=picture or png(), mime_type="image/png")
    return await client.models.generate_content(
        model=MODEL,
        contents=types.Content(role="user", parts=[sketch, types.Part(text="Redraw it.")]),
        config=types.GenerateContentConfig(temperature=0.2, response_modalities=["TEXT", "IMAGE"]),
    )


def image(answer: types.GenerateContentResponse) -> bytes:
    """The bytes of the one picture in the answer."""
    [blob] = [part.inline_data for part in answer.parts or [] if part.inline_data]
    assert "image/png" == blob.mime_type
    assert blob.data is not None
    return blob.data


async def script(http: httpx2.AsyncClient, **fault: Any) -> None:
    """The next call fails like this."""
    assert 200 == (await http.post("/faults", json=[fault])).status_code


async def calls(http: httpx2.AsyncClient) -> dict[str, int]:
    return dict((await http.get("/calls")).json())


async def until_waiting(http: httpx2.AsyncClient, count: int) -> None:
    """Poll until so many calls are held back."""
    async with asyncio.timeout(10):
        while (await calls(http))["waiting"] != count:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "identity",
    [
        {"api_key": "any"},
        {"vertexai": True, "api_key": "any"},
        {
            "vertexai": True,
            "project": "a-project",
            "location": "europe-west1",
            "credentials": Credentials(token="any"),
        },
    ],
    ids=["api", "express", "vertex"],
)
async def test_all_three_kinds_of_client_get_a_picture(http: httpx2.AsyncClient, identity: dict[str, Any]) -> None:
    """Each finds its path, and reads a PNG, metadata and the closing fields."""
    sketch = (ROOT / "examples" / "cat.png").read_bytes()
    async with sdk(str(http.base_url), **identity) as client:
        answer = await ask(client, sketch)
    with Image.open(io.BytesIO(image(answer))) as picture:
        assert ("PNG", "RGBA", 1024) == (picture.format, picture.mode, max(picture.size))
    [candidate] = answer.candidates or []
    assert types.FinishReason.STOP == candidate.finish_reason
    assert answer.usage_metadata is not None
    assert (MODEL, 1378) == (answer.model_version, answer.usage_metadata.total_token_count)
    assert answer.response_id
    words = json.loads((answer.parts or [])[0].text or "")
    assert {"title", "style", "palette", "background", "notes"} == set(words)
    assert "not by Gemini" in words["notes"]
    assert 3 == len(words["palette"])
    assert {"count": 1, "waiting": 0} == await calls(http)


async def test_calls_are_counted_until_deleted(http: httpx2.AsyncClient, gemini: genai.client.AsyncClient) -> None:
    """Failed calls count too: the real service might have billed them."""
    await script(http, kind="status", status=500)
    with pytest.raises(errors.ServerError):
        await ask(gemini)
    await ask(gemini)
    assert 2 == (await calls(http))["count"]
    assert 0 == (await http.delete("/calls")).json()["count"]


@pytest.mark.parametrize(
    ("status", "word", "raised"),
    [
        (400, "INVALID_ARGUMENT", errors.ClientError),
        (401, "UNAUTHENTICATED", errors.ClientError),
        (403, "PERMISSION_DENIED", errors.ClientError),
        (404, "NOT_FOUND", errors.ClientError),
        (408, "DEADLINE_EXCEEDED", errors.ClientError),
        (429, "RESOURCE_EXHAUSTED", errors.ClientError),
        (500, "INTERNAL", errors.ServerError),
        (503, "UNAVAILABLE", errors.ServerError),
        (504, "DEADLINE_EXCEEDED", errors.ServerError),
    ],
)
async def test_a_status_is_raised_with_its_word(
    http: httpx2.AsyncClient, gemini: genai.client.AsyncClient, status: int, word: str, raised: type[errors.APIError]
) -> None:
    """The client raises its class for that status, with Google's name of it."""
    await script(http, kind="status", status=status)
    with pytest.raises(raised) as caught:
        await ask(gemini)
    assert (status, word) == (caught.value.code, caught.value.status)


async def test_an_overload_says_when_to_come_back(http: httpx2.AsyncClient, gemini: genai.client.AsyncClient) -> None:
    """In RetryInfo and in the header; without `retry_after_s` in neither."""
    await script(http, kind="status", status=429, retry_after_s=12)
    await script(http, kind="status", status=429)
    with pytest.raises(errors.ClientError) as told:
        await ask(gemini)
    with pytest.raises(errors.ClientError) as untold:
        await ask(gemini)
    [info] = told.value.details["error"]["details"]
    assert ("type.googleapis.com/google.rpc.RetryInfo", "12s") == (info["@type"], info["retryDelay"])
    assert "12" == told.value.response.headers["retry-after"]
    assert "details" not in untold.value.details["error"]
    assert "retry-after" not in untold.value.response.headers


async def test_a_refused_picture_is_a_finish_reason(http: httpx2.AsyncClient, gemini: genai.client.AsyncClient) -> None:
    """A candidate without content, its finish reason the one asked for."""
    await script(http, kind="refuse")
    await script(http, kind="refuse", reason="RECITATION")
    for expected in ("IMAGE_SAFETY", "RECITATION"):
        answer = await ask(gemini)
        [candidate] = answer.candidates or []
        assert (expected, None) == (candidate.finish_reason, candidate.content)


async def test_a_blocked_prompt_has_no_candidates(http: httpx2.AsyncClient, gemini: genai.client.AsyncClient) -> None:
    """Only the block reason comes back."""
    await script(http, kind="refuse", reason="SAFETY", blocked=True)
    answer = await ask(gemini)
    assert answer.prompt_feedback is not None
    assert (None, "SAFETY") == (answer.candidates, answer.prompt_feedback.block_reason)


async def test_no_image_leaves_only_text(http: httpx2.AsyncClient, gemini: genai.client.AsyncClient) -> None:
    """The answer is whole, but for the picture."""
    await script(http, kind="no_image")
    answer = await ask(gemini)
    assert [True] == [part.text is not None for part in answer.parts or []]


@pytest.mark.parametrize(("kind", "format_"), [("jpeg", "JPEG"), ("webp", "WEBP")])
async def test_other_formats_come_under_the_label_of_png(
    http: httpx2.AsyncClient, gemini: genai.client.AsyncClient, kind: str, format_: str
) -> None:
    """As the real models answer on this route: `image()` checks the label, Pillow the bytes."""
    await script(http, kind=kind)
    with Image.open(io.BytesIO(image(await ask(gemini)))) as picture:
        assert format_ == picture.format


@pytest.mark.parametrize(
    ("what", "raised"),
    [("html", json.JSONDecodeError), ("cut_json", json.JSONDecodeError), ("bad_base64", ValidationError)],
)
async def test_garbage_that_cannot_be_read_raises(
    http: httpx2.AsyncClient, gemini: genai.client.AsyncClient, what: str, raised: type[Exception]
) -> None:
    """The client lets the parser's own exception through."""
    await script(http, kind="garbage", what=what)
    with pytest.raises(raised):
        await ask(gemini)


async def test_garbage_that_can_be_read_counts_as_success(
    http: httpx2.AsyncClient, gemini: genai.client.AsyncClient
) -> None:
    """A text under a picture's label, and an empty object."""
    await script(http, kind="garbage", what="not_an_image")
    await script(http, kind="garbage", what="empty")
    assert b"This is no picture." == image(await ask(gemini))
    assert None is (await ask(gemini)).candidates


async def test_a_slow_answer_arrives(http: httpx2.AsyncClient, gemini: genai.client.AsyncClient) -> None:
    """Late by the seconds asked for, and whole."""
    await script(http, kind="slow", seconds=0.4)
    began = time.monotonic()
    assert image(await ask(gemini))
    assert 0.4 <= time.monotonic() - began


async def test_a_hung_call_ends_with_its_caller(http: httpx2.AsyncClient) -> None:
    """The client's timeout is its own transport error, and the stand-in forgets the call."""
    await script(http, kind="hang")
    async with sdk(str(http.base_url), timeout_s=0.3) as impatient:
        with pytest.raises(httpx2.TransportError):
            await ask(impatient)
    await until_waiting(http, 0)


async def test_held_calls_wait_for_the_release(http: httpx2.AsyncClient, gemini: genai.client.AsyncClient) -> None:
    """A barrier: both calls are known to be in flight, then both are answered; later holds wait anew."""
    await script(http, kind="hold", times=3)
    async with asyncio.TaskGroup() as group:
        held = [group.create_task(ask(gemini)) for _ in range(2)]
        await until_waiting(http, 2)
        await http.post("/release")
    assert [True, True] == [bool(image(task.result())) for task in held]
    third = asyncio.create_task(ask(gemini))
    await until_waiting(http, 1)
    await http.post("/release")
    assert image(await third)


async def test_faults_apply_to_the_next_calls_in_order(
    http: httpx2.AsyncClient, gemini: genai.client.AsyncClient
) -> None:
    """429 twice, then no picture, then all is well; DELETE leaves nothing to come."""
    await http.post("/faults", json=[{"kind": "status", "status": 429, "times": 2}, {"kind": "no_image"}])
    seen: list[int] = []
    for _ in range(4):
        try:
            seen.append(len((await ask(gemini)).parts or []))
        except errors.ClientError as error:
            seen.append(error.code)
    assert [429, 429, 1, 2] == seen
    await script(http, kind="hang")
    assert [] == (await http.delete("/faults")).json()
    assert image(await ask(gemini))


async def test_an_unknown_fault_is_refused_by_name(http: httpx2.AsyncClient) -> None:
    """The sentence names the kinds that exist."""
    answer = await http.post("/faults", json=[{"kind": "explode"}])
    assert 400 == answer.status_code
    for kind in ("slow", "status", "refuse", "no_image", "jpeg", "webp", "garbage", "hang", "hold"):
        assert f"'{kind}'" in answer.text


def body(**inline: str) -> dict[str, Any]:
    key = "inlineData" if "mimeType" in inline else "inline_data"
    return {"contents": [{"role": "user", "parts": [{key: inline}, {"text": "Redraw it."}]}]}


async def test_both_alphabets_and_spellings_are_read(http: httpx2.AsyncClient) -> None:
    """The same picture as the SDK sends it and as a plain REST client does."""
    sketch = png()
    for version, request in (
        ("v1", body(mimeType="image/png", data=base64.b64encode(sketch).decode())),
        ("v1beta", body(mime_type="image/png", data=base64.urlsafe_b64encode(sketch).decode().rstrip("="))),
    ):
        answer = await http.post(f"/{version}/models/{MODEL}:generateContent", headers=KEY, json=request)
        assert 200 == answer.status_code
        parts = answer.json()["candidates"][0]["content"]["parts"]
        assert base64.b64decode(parts[1]["inlineData"]["data"], validate=True).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("path", "headers", "content", "status", "word"),
    [
        (PATH, {}, b"{}", 403, "PERMISSION_DENIED"),
        (
            f"/v1/projects/p/locations/l/publishers/google/models/{MODEL}:generateContent",
            {},
            b"{}",
            401,
            "UNAUTHENTICATED",
        ),
        (f"/v1/publishers/google/models/{MODEL}:generateContent", {}, b"{}", 401, "UNAUTHENTICATED"),
        (PATH, KEY, b"{", 400, "INVALID_ARGUMENT"),
        (PATH, KEY, b"[]", 400, "INVALID_ARGUMENT"),
        (PATH, KEY, b'{"contents": [{"parts": [null]}]}', 400, "INVALID_ARGUMENT"),
        (PATH, KEY, b'{"contents": [{"parts": [{"text": "a cat"}]}]}', 400, "INVALID_ARGUMENT"),
        (PATH, KEY, json.dumps(body(mimeType="image/png", data="*")).encode(), 400, "INVALID_ARGUMENT"),
        (PATH, KEY, json.dumps(body(mimeType="image/png", data="AAAA")).encode(), 400, "INVALID_ARGUMENT"),
        (f"/v1/models/{MODEL}:paint", KEY, b"{}", 404, "NOT_FOUND"),
    ],
)
async def test_a_bad_request_is_refused_in_googles_words(
    http: httpx2.AsyncClient, path: str, headers: dict[str, str], content: bytes, status: int, word: str
) -> None:
    """No key, no token, no JSON, no picture, no such method."""
    answer = await http.post(path, headers=headers, content=content)
    error = answer.json()["error"]
    assert (status, status, word) == (answer.status_code, error["code"], error["status"])
    assert error["message"]


async def test_sigterm_ends_it_even_in_mid_call() -> None:
    """A base delay holds every answer back; the process still ends soon, with status 0."""
    with stand_in(GEMINI_DELAY_S="60") as (process, url):
        async with httpx2.AsyncClient(base_url=url, timeout=20) as http:
            request = body(mimeType="image/png", data=base64.b64encode(png()).decode())
            call = asyncio.create_task(http.post(PATH, headers=KEY, json=request))
            async with asyncio.timeout(10):
                while (await calls(http))["count"] == 0:
                    await asyncio.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            assert 0 == await asyncio.to_thread(process.wait, 10)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
