"""Pictures over HTTP: what an `imageUrl` leads to never changes, so browsers may keep it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson
from addresses import PATH, Addresses
from cors import Cors
from rubydraw.errors import StoreUnavailable
from rubydraw.images import Images, is_image_hash
from splicing import PiecesResponse, encoded
from starlette.requests import Request
from starlette.responses import Response

METHODS = "GET, HEAD"
FOR_EVER = "max-age=31536000, immutable"
NOT_HERE = "No such picture is kept here, or no longer; ask for imageUrl again."


class Pictures:
    """Answers `GET /images/<SHA-256 of the picture>.png`; a browser that has the picture is told so without a look."""

    def __init__(self, images: Images, addresses: Addresses, cors_origins: Sequence[str]) -> None:
        self._images, self._addresses, self._cors = images, addresses, Cors(cors_origins)
        self._kept_by = "private" if addresses.signed else "public"

    async def __call__(self, request: Request) -> Response:
        response = await self._answer(request)
        response.headers.update(self._cors.headers(request.headers.get("origin")))
        return response

    async def _answer(self, request: Request) -> Response:
        path = request.scope["path"]  # `url` leaves out line breaks and tabs
        image_sha256 = path.removeprefix(PATH).removesuffix(".png")
        if path != f"{PATH}{image_sha256}.png" or not is_image_hash(image_sha256):
            return _refused(404, NOT_HERE)
        if request.method not in ("GET", "HEAD"):
            return _refused(405, f"A picture answers {METHODS}.", {"allow": METHODS})
        if refusal := self._addresses.refusal(image_sha256, request.query_params):
            return _refused(403, refusal)
        headers = {
            "cache-control": f"{self._kept_by}, {FOR_EVER}",
            "etag": f'"{image_sha256}"',
            "x-content-type-options": "nosniff",
        }
        had = request.headers.getlist("if-none-match")
        if _names(had, headers["etag"]):
            return Response(status_code=304, headers=headers)
        try:
            image = await self._images.find(image_sha256)
        except StoreUnavailable as away:
            return _refused(503, away.message, {"retry-after": "2"})
        if image is None:
            return _refused(404, NOT_HERE)
        if had == ["*"]:  # whatever picture is here (RFC 9110, 13.1.2)
            return Response(status_code=304, headers=headers)
        return PiecesResponse((image,), 200, encoded({**headers, "content-type": "image/png"}))


def _names(if_none_match: Sequence[str], etag: str) -> bool:
    """Whether the caller has this very picture: a hash names its bytes, whether or not they are still kept here."""
    return etag in [tag.strip().removeprefix("W/") for tag in ",".join(if_none_match).split(",")]


def _refused(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    body = orjson.dumps({"errors": [{"message": sentence}]})
    common = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    return Response(body, status, {**common, **(headers or {})}, "application/json; charset=utf-8")
