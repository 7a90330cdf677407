"""One call of the product's Gemini, as it succeeds or fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rubydraw.drawing import Drawing
from rubydraw.errors import (
    SketchError,
)
from rubydraw.gemini.client import Gemini

from tests.sketches import sketch

KEY = "a-throw-away-key"
MODES = {
    "api": {"GEMINI_API_KEY": KEY},
    "express": {"GEMINI_API_KEY": KEY},
    "vertex": {"GEMINI_PROJECT": "test-project", "GEMINI_LOCATION": "europe-west1"},
}
MakeGemini = Callable[..., Gemini]


async def draw(gemini: Gemini, *, timeout_s: float = 10) -> Drawing:
    """The drawing of one call."""
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
