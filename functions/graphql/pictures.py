"""Pictures over HTTP: what an `imageUrl` leads to never changes, so browsers may keep it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson
from addresses import PATH, Addresses
from cors import Cors
from incoming import Incoming
from rubydraw.drawings.images import Images, is_image_hash
from rubydraw.errors import StoreUnavailable
from splicing import PiecesResponse, encoded
from starlette.datastructures import QueryParams
from starlette.responses import Response

METHODS = "GET, HEAD, OPTIONS"
FOR_EVER = "max-age=31536000, immutable"
NOT_HERE = "This picture is not kept here, or no longer; ask for imageUrl again."


class Pictures:
    """Answers `GET /images/<SHA-256 of the picture>.png`; 304, without a read, for a browser that has the picture."""

    def __init__(self, images: Images, addresses: Addresses, cors_origins: Sequence[str]) -> None:
        self._images, self._addresses, self._cors = images, addresses, Cors(cors_origins)
        self._kept_by = "private" if addresses.signed else "public"

    async def __call__(self, incoming: Incoming) -> Response:
        response = await self._answer(incoming)
        response.headers.update(self._cors.headers(incoming.header(b"origin")))
        return response

    async def _answer(self, incoming: Incoming) -> Response:
        path = incoming.path
        image_sha256 = path.removeprefix(PATH).removesuffix(".png")
        if path != f"{PATH}{image_sha256}.png" or not is_image_hash(image_sha256):
            return _refused(404, NOT_HERE)
        if incoming.method == "OPTIONS":  # a preflight, which a field like `traceparent` causes
            granted = self._cors.preflight_headers(incoming.header(b"origin"), METHODS)
            return Response(status_code=204, headers={**_COMMON, "allow": METHODS, **granted})
        if incoming.method not in ("GET", "HEAD"):
            return _refused(405, "A picture can only be requested by GET or HEAD.", {"allow": METHODS})
        if refusal := self._addresses.refusal(image_sha256, QueryParams(incoming.query_string)):
            return _refused(403, refusal)
        headers = {
            "cache-control": f"{self._kept_by}, {FOR_EVER}",
            "etag": f'"{image_sha256}"',
            "x-content-type-options": "nosniff",
        }
        had = incoming.header(b"if-none-match") or ""
        if _names(had, headers["etag"]):
            return Response(status_code=304, headers=headers)
        try:
            image = await self._images.find(image_sha256)
        except StoreUnavailable as away:
            return _refused(503, away.message, {"retry-after": "2"})
        if image is None:
            return _refused(404, NOT_HERE)
        if had == "*":  # whatever picture is here (RFC 9110, 13.1.2)
            return Response(status_code=304, headers=headers)
        return PiecesResponse((image,), 200, encoded({**headers, "content-type": "image/png"}))


def _names(if_none_match: str, etag: str) -> bool:
    """Whether the caller has this very picture: a hash names its bytes, whether or not they are still kept here."""
    return etag in [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]


_COMMON = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def _refused(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    body = orjson.dumps({"errors": [{"message": sentence}]})
    return Response(body, status, {**_COMMON, **(headers or {})}, "application/json; charset=utf-8")
