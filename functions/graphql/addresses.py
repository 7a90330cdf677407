"""Addresses of pictures: their host and, if a signing key is set, their signature."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping

from incoming import Incoming

PATH = "/images/"
STEP_S = 900
"""A signature lasts to the end of the next quarter of an hour (15 to 30 minutes), and stays the same in a quarter."""

_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?|\[[0-9a-fA-F:]+\](:[0-9]{1,5})?")


class Addresses:
    """Without a key an address is valid as long as the picture is kept; with a key it is signed, and soon expires."""

    def __init__(self, signing_key: str, public_url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._key, self._public_url, self._clock = signing_key.encode(), public_url, clock

    @property
    def signed(self) -> bool:
        return bool(self._key)

    def of(self, image_sha256: str, origin: str) -> str:
        """Return the address of a picture for a caller who reached us at this origin."""
        address = f"{self._public_url or origin}{PATH}{image_sha256}.png"
        if not self.signed:
            return address
        exp = (int(self._clock()) // STEP_S + 2) * STEP_S
        return f"{address}?exp={exp}&sig={self._signature(image_sha256, str(exp))}"

    def refusal(self, image_sha256: str, query: Mapping[str, str]) -> str:
        """Return, in one sentence, why this address may not be used; an empty string if it may."""
        if not self.signed:
            return ""
        exp, sig = query.get("exp", ""), query.get("sig", "")
        if not hmac.compare_digest(self._signature(image_sha256, exp).encode(), sig.encode()):
            return "The address of this picture has no valid signature; ask for imageUrl to get one that has."
        return "The address of this picture has expired; ask for imageUrl again." if int(exp) <= self._clock() else ""

    def _signature(self, image_sha256: str, exp: str) -> str:
        return hmac.new(self._key, f"{image_sha256} {exp}".encode(), hashlib.sha256).hexdigest()


def origin(incoming: Incoming) -> str:
    """Return scheme and host as the caller named them: only this caller gets them, in an uncached answer."""
    host = incoming.header(b"host") or ""
    scheme = (incoming.header(b"x-forwarded-proto") or "").partition(",")[0].strip() or incoming.scheme
    return f"{scheme}://{host}" if scheme in ("http", "https") and _HOST.fullmatch(host) else ""
