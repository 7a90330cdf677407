"""A sketch: the rough picture and what its author says about it, checked before anything is paid for."""

from __future__ import annotations

import hashlib
import re
import string
import unicodedata
from dataclasses import dataclass
from weakref import WeakValueDictionary

import pybase64

from rubydraw.errors import BadSketch
from rubydraw.png import BadPng, read_png

KEY_VERSION = "v1"
MAX_SVG_BYTES = 256 * 1024
MAX_HINTS_CHARS = 2_000
MAX_VARIANT = 999
MAX_MARKS = 30
"""Combining marks in a row, as in Unicode's "Stream-Safe Text Format" (UAX #15): NFC sorts them in quadratic time."""

_DATA_URL = "data:image/png;base64,"
_DECOMPOSED_TO_MARKS = "\u0f73\u0f75\u0f81"
_BASE64 = (string.ascii_letters + string.digits + "+/=-_ \t\r\n\f\v").encode()
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Sketch:
    """
    A checked sketch: exactly what is digested, sent to the worker and shown to Gemini.

    `content_hash`: SHA-256 over variant, svg, hints and the picture, each with its length before it.
    """

    png: bytes
    svg: str
    hints: str
    variant: int
    content_hash: bytes

    @classmethod
    def from_base64(
        cls, png_base64: str, svg: str | None, hints: str | None, variant: int | None, *, max_png_bytes: int
    ) -> Sketch:
        """Check what a client sent; raise BadSketch with one sentence that says what is allowed."""
        png = _decoded(png_base64, max_png_bytes)
        return cls.from_png(png, svg or "", hints or "", variant or 0, max_png_bytes=max_png_bytes)

    @classmethod
    def from_png(cls, png: bytes, svg: str, hints: str, variant: int, *, max_png_bytes: int) -> Sketch:
        """Check a decoded sketch; raise BadSketch."""
        if len(png) > max_png_bytes:
            raise BadSketch(f"The PNG has {len(png)} bytes; at most {max_png_bytes} are allowed.")
        if not 0 <= variant <= MAX_VARIANT:
            raise BadSketch(f"variant is {variant}; allowed are 0 to {MAX_VARIANT}.")
        try:
            picture = read_png(png)
        except BadPng as bad:
            raise BadSketch(f"pngBase64 is not a PNG that can be used: {bad}.") from None
        svg, hints = svg.strip(), hints.strip()
        _check_length(svg, hints)  # before anything looks at each character
        svg, hints = _text("svg", svg), _text("hints", hints)
        _check_length(svg, hints)  # a few characters grow in NFC
        content = _hash(str(variant).encode(), svg.encode(), hints.encode(), picture.identity)
        return _in_use.setdefault(content, cls(picture.data, svg, hints, variant, content))

    def digest(self, *, model: str, prompt_version: str) -> str:
        """Return the hex SHA-256 under which the drawing of this sketch is kept: same digest, same drawing."""
        return _hash(KEY_VERSION.encode(), model.encode(), prompt_version.encode(), self.content_hash).hex()


_in_use: WeakValueDictionary[bytes, Sketch] = WeakValueDictionary()
"""Sketches in use in this process, by content hash: all callers that wait for the same drawing share one copy."""


def _decoded(png_base64: str, max_png_bytes: int) -> bytes:
    """Return the bytes of strict base64, with or without a data URL before it."""
    text = png_base64.strip()
    if text[: len(_DATA_URL)].lower() == _DATA_URL:
        text = text[len(_DATA_URL) :]
    elif text[:5].lower() == "data:":
        raise BadSketch("pngBase64 is a data URL of another kind; allowed are data:image/png;base64, and plain base64.")
    if not text:
        raise BadSketch("pngBase64 is empty; a PNG in base64 is needed.")
    # Twice the limit leaves room for line breaks; beyond it nothing is decoded at all.
    if len(text) > max_png_bytes * 2 + 4096:
        raise BadSketch(f"pngBase64 has {len(text)} characters; the PNG may have at most {max_png_bytes} bytes.")
    try:
        return _strict(text)
    except ValueError:
        pass
    try:
        return _strict(text.encode().translate(None, b" \t\r\n\f\v"))
    except ValueError:
        flaw = _flaw(text)
        raise BadSketch(f"pngBase64 is not standard base64: {flaw}; a PNG in standard base64 is needed.") from None


def _flaw(text: str) -> str:
    """Say why a text is not base64, without quoting it."""
    if not text.isascii() or text.encode().translate(None, _BASE64):
        return "it has a character that base64 does not use"
    if "-" in text or "_" in text:
        return "it has - or _, which only base64url uses"
    return "it has = in a wrong place" if "=" in text else "the = at its end is missing, or it is cut off"


def _strict(text: str | bytes) -> bytes:
    decoded: bytes = pybase64.b64decode(text, validate=True)
    return decoded


def _check_length(svg: str, hints: str) -> None:
    if (svg_bytes := len(svg.encode(errors="surrogatepass"))) > MAX_SVG_BYTES:
        raise BadSketch(f"svg has {svg_bytes} bytes of UTF-8; at most {MAX_SVG_BYTES} are allowed.")
    if len(hints) > MAX_HINTS_CHARS:
        raise BadSketch(f"hints has {len(hints)} characters; at most {MAX_HINTS_CHARS} are allowed.")


def _text(name: str, value: str) -> str:
    """Return `value` in NFC; refuse control characters and piles of combining marks."""
    if found := _CONTROL.search(value):
        raise BadSketch(
            f"{name} contains the control character U+{ord(found[0]):04X};"
            " only tab, line feed and carriage return are allowed."
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadSketch(f"{name} contains half a surrogate pair; only whole characters are allowed.") from None
    if value.isascii():
        return value
    # Again in NFC, as the worker checks it: some letters and marks come apart into several marks.
    if _piles_marks(value) or ((normal := unicodedata.normalize("NFC", value)) != value and _piles_marks(normal)):
        raise BadSketch(f"{name} has more than {MAX_MARKS} combining marks in a row.")
    return normal


def _piles_marks(value: str) -> bool:
    run = 0
    for char in value:
        run = run + 1 if unicodedata.combining(char) or char in _DECOMPOSED_TO_MARKS else 0
        if run > MAX_MARKS:
            return True
    return False


def _hash(*fields: bytes) -> bytes:
    digest = hashlib.sha256()
    for field in fields:
        digest.update(len(field).to_bytes(8, "big"))
        digest.update(field)
    return digest.digest()
