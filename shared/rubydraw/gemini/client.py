"""Gemini: one sketch in, one checked drawing out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from rubydraw.authorization import AccessToken, ambient, is_temporary
from rubydraw.drawing import Drawing
from rubydraw.errors import GeminiFailed, Misconfigured, Unavailable
from rubydraw.gemini import prompt
from rubydraw.gemini.failures import as_our_error
from rubydraw.gemini.picture import to_png
from rubydraw.limits.budget import Usage
from rubydraw.settings import Settings
from rubydraw.sketch import Sketch

if TYPE_CHECKING:
    from google.genai import Client
    from google.genai.types import Content

    from rubydraw.gemini.transport import HttpClient

EVERY_REQUEST = {
    "systemInstruction": {"role": "user", "parts": [{"text": prompt.SYSTEM}]},
    "generationConfig": {"temperature": 0.2, "responseModalities": ["TEXT", "IMAGE"]},
}
"""
What every request has in common, as the API names it. Passed to each call as GenerateContentConfig, it would take 0.5
of the 2.3 ms of CPU that a call takes: the SDK copies it and walks through it.
"""


class Gemini:
    """
    Calls Gemini through google-genai's async client; neither this class nor the SDK retries.

    The SDK takes half a second to import: that happens in a thread, so that nobody else waits for it.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.model = settings.gemini_model
        self.prompt_version = prompt.PROMPT_VERSION
        self._settings = settings
        self._clock = clock
        self._client: asyncio.Task[_Client] | None = None

    def warm(self) -> asyncio.Task[_Client]:
        """Begin to import the SDK and make the client, unless that has been done."""
        if self._client is None or (self._client.done() and self._client.exception()):
            self._client = asyncio.create_task(asyncio.to_thread(_client, self._settings))
        return self._client

    async def load(self) -> _Client:
        """Return the client; callers that come during the import wait for the same one."""
        try:
            return await asyncio.shield(self.warm())
        except Exception as error:  # such as no ambient credentials; its message may name paths and accounts
            raise (GeminiFailed(may_be_billed=False) if is_temporary(error) else Misconfigured()) from None

    async def draw(
        self, sketch: Sketch, *, timeout_s: float, now_ms: int, used: Callable[[Usage], object] = bool
    ) -> Drawing:
        """
        Redraw `sketch`, or raise one of our errors. `now_ms`: the time at the start, in ms since 1970; it dates the
        drawing.

        `used` is called with the usage that an answer reports, even if the rest of the answer is of no use.
        """
        from rubydraw.gemini.answer import read_answer  # late, like the SDK: a hit does not need it
        from rubydraw.gemini.metadata import Metadata, read_metadata

        client = await self.load()
        began = self._clock()
        try:
            answer = await client.answer(self.model, sketch, timeout_s)
        except Exception as error:
            raise as_our_error(error, self._clock() - began) from None
        took_ms = round((self._clock() - began) * 1000)
        picture, text = read_answer(answer, used)
        del answer  # only the picture is held while it is converted
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


class _Client(NamedTuple):
    """
    Google's client, the HTTP client that it sends with but does not close, and contents that the exchange fills.

    `token`: the access token of the credentials, in mode `vertex`: the SDK would refresh it in one thread for each
    waiting call.
    """

    sdk: Client
    http: HttpClient
    contents: Content
    token: AccessToken | None

    async def answer(self, model: str, sketch: Sketch, timeout_s: float) -> bytes:
        """
        Return the body of an answer with status 200; raise whatever the SDK and its HTTP client raise.

        Raises TimeoutError if the answer does not come in time, httpx2's ConnectTimeout if not even the sending of the
        sketch has begun by then, and Misconfigured if the settings allow no request.
        """
        import httpx2

        from rubydraw.gemini.exchange import exchanging

        with exchanging(sketch.png, prompt.user_text(sketch)) as exchange:
            try:
                async with asyncio.timeout(timeout_s):
                    if self.token:
                        await self.token.fresh()
                    await self.sdk.aio.models.generate_content(model=model, contents=self.contents)
            except (TimeoutError, Unavailable):
                if exchange.begun:
                    raise
                raise httpx2.ConnectTimeout("") from None
            except (ValueError, TypeError, httpx2.LocalProtocolError):
                if exchange.begun:
                    raise
                raise Misconfigured from None  # the settings do not make a valid request
            return exchange.answer


def _client(settings: Settings) -> _Client:
    from google.genai import Client
    from google.genai.types import Content, HttpOptions

    from rubydraw.gemini.transport import HttpClient

    # One connection for each call that may be in flight: no call waits for a connection.
    http = HttpClient(settings.max_in_flight)
    options = HttpOptions(
        base_url=settings.gemini_base_url or None,
        timeout=round(settings.gemini_timeout_s * 1000),
        extra_body=EVERY_REQUEST,
        httpx_async_client=http,
    )
    make = partial(Client, http_options=options)
    token = None
    match settings.gemini_mode:
        case "vertex":
            credentials = ambient("cloud-platform")
            token = AccessToken(lambda: credentials)
            project, location = settings.gemini_project, settings.gemini_location
            sdk = make(vertexai=True, project=project, location=location, credentials=credentials)
        case "express":
            sdk = make(vertexai=True, api_key=settings.gemini_api_key)
        case _:
            sdk = make(vertexai=False, api_key=settings.gemini_api_key)
    return _Client(sdk, http, Content(role="user", parts=[]), token)
