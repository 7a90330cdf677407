"""Gemini: one sketch in, one checked drawing out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from rubydraw import prompt
from rubydraw.budget import Usage
from rubydraw.drawing import Drawing
from rubydraw.errors import BadAnswer, ContentRefused, Misconfigured, NoImage
from rubydraw.gemini_failures import ours
from rubydraw.picture import to_png
from rubydraw.settings import Settings
from rubydraw.sketch import Sketch

if TYPE_CHECKING:
    from google.genai import Client
    from google.genai.types import GenerateContentResponse, Part

    from rubydraw.transport import HttpClient

REFUSING = frozenset(
    [
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "PROHIBITED_CONTENT",
        "SAFETY",
        "RECITATION",
        "SPII",
        "BLOCKLIST",
        "JAILBREAK",
        "MODEL_ARMOR",
        "ESCALATION",
        "PUP_LIMITED_DISABLED",
    ]
)
"""Finish reasons that depend on the sketch alone; any other end without a picture may be tried again."""

EVERY_REQUEST = {
    "systemInstruction": {"role": "user", "parts": [{"text": prompt.SYSTEM}]},
    "generationConfig": {"temperature": 0.2, "responseModalities": ["TEXT", "IMAGE"]},
}
"""
What is the same in each, in the words of the API. Given to each call as GenerateContentConfig it was copied and walked
through by the SDK for 0.5 of the 2.3 ms of CPU that a call takes.
"""


class Gemini:
    """
    Calls through google-genai's async client, each by itself: no retries here or in the SDK.

    The SDK takes half a second to import: that happens in a thread, so that nobody else waits for it.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.model = settings.gemini_model
        self.prompt_version = prompt.PROMPT_VERSION
        self._settings = settings
        self._clock = clock
        self._client: asyncio.Task[_Clients] | None = None

    def warm(self) -> asyncio.Task[_Clients]:
        """Begin to import the SDK and make the client, unless that has been done."""
        if self._client is None or (self._client.done() and self._client.exception()):
            self._client = asyncio.create_task(asyncio.to_thread(_clients, self._settings))
        return self._client

    async def load(self) -> Client:
        """Return the client; callers before the end of the import wait for the same one."""
        try:
            return (await asyncio.shield(self.warm())).sdk
        except Exception:  # no ambient credentials, say: their text may name paths and accounts
            raise Misconfigured from None

    async def draw(
        self, sketch: Sketch, *, timeout_s: float, now_ms: int, used: Callable[[Usage], object] = bool
    ) -> Drawing:
        """
        Redraw `sketch`, or raise one of our errors. `now_ms` dates the drawing: ms since 1970 at the start.

        `used` is told what an answer says that it has used, whatever else is in it.
        """
        from rubydraw.metadata import Metadata, read_metadata  # as the SDK, which a hit does not pay for

        client = await self.load()
        from rubydraw import gemini_body  # by now it is loaded, and with it the HTTP client

        began = self._clock()
        try:
            async with asyncio.timeout(timeout_s):
                with gemini_body.sent(sketch.png, prompt.user_text(sketch)):
                    contents: Any = [{"role": "user", "parts": [{"text": gemini_body.PLACEHOLDER}]}]
                    response = await client.aio.models.generate_content(model=self.model, contents=contents)
        except Exception as error:
            raise ours(error, self._clock() - began) from None
        took_ms = round((self._clock() - began) * 1000)
        if usage := _usage(response):
            used(usage)
        picture, text = _parts(response)
        metadata = read_metadata(text)
        words = metadata or Metadata()
        return Drawing(
            image=await to_png(picture),
            title=words.title,
            style=words.style,
            palette=words.palette,
            background=words.background,
            notes=words.notes,
            model=self.model,
            prompt_version=self.prompt_version,
            provider_ms=took_ms,
            created_at_ms=now_ms + took_ms,
            fallback_metadata=metadata is None,
        )

    async def close(self) -> None:
        if self._client and self._client.done() and not self._client.exception():
            await self._client.result().http.aclose()


class _Clients(NamedTuple):
    """Google's client and the one that it sends with, which it does not close."""

    sdk: Client
    http: HttpClient


def _clients(settings: Settings) -> _Clients:
    from google.genai import Client
    from google.genai.types import HttpOptions

    from rubydraw.transport import HttpClient

    # As many connections as calls: a call that waits for one is a call in flight.
    http = HttpClient(settings.max_in_flight)
    options = HttpOptions(
        base_url=settings.gemini_base_url or None,
        timeout=round(settings.gemini_timeout_s * 1000),
        extra_body=EVERY_REQUEST,
        httpx_async_client=http,
    )
    make = partial(Client, http_options=options)
    match settings.gemini_mode:
        case "vertex":
            sdk = make(vertexai=True, project=settings.gemini_project, location=settings.gemini_location)
        case "express":
            sdk = make(vertexai=True, api_key=settings.gemini_api_key)
        case _:
            sdk = make(vertexai=False, api_key=settings.gemini_api_key)
    return _Clients(sdk, http)


def _usage(response: GenerateContentResponse) -> Usage | None:
    """Return what an answer has used; None where it does not say so, or not in numbers."""
    counts = response.usage_metadata
    try:
        all_tokens, input_tokens = int(counts.total_token_count), int(counts.prompt_token_count or 0)  # type: ignore
    except (AttributeError, TypeError, ValueError):
        return None
    return Usage(input_tokens, all_tokens - input_tokens) if all_tokens >= input_tokens >= 0 else None


def _parts(response: GenerateContentResponse) -> tuple[bytes, str]:
    """Return the picture that counts and the text beside it; raise ContentRefused, NoImage or BadAnswer."""
    try:
        if response.prompt_feedback and response.prompt_feedback.block_reason:
            raise ContentRefused
        candidate = response.candidates[0] if response.candidates else None
        if candidate is None:
            raise NoImage
        if candidate.finish_reason and candidate.finish_reason.name in REFUSING:
            raise ContentRefused
        parts = (candidate.content and candidate.content.parts) or []
    except (AttributeError, TypeError, KeyError):  # {"candidates": "nope"} passes for success in the SDK
        raise BadAnswer from None
    pictures = [part for part in parts if part.inline_data and part.inline_data.data]
    if not pictures:
        raise NoImage
    text = "".join(part.text for part in parts if part.text and not part.thought)
    return _final(pictures), text


def _final(pictures: list[Part]) -> bytes:
    """Return the last picture; those in thought parts are drafts and count only when there is no other."""
    chosen = [part for part in pictures if not part.thought] or pictures
    data = chosen[-1].inline_data and chosen[-1].inline_data.data
    return data or b""
