"""The wire format of generateContent, both ways: requests read as the real service reads them, answers written."""

import io
import re
import uuid
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import orjson
import pybase64
from PIL import Image
from pydantic import Field
from starlette.responses import JSONResponse, Response

from emulator.faults import Fault
from emulator.redraw import Redrawn

_MODEL = r"/v\w+/(?P<vertex>(?:projects/[^/]+/locations/[^/]+/)?publishers/google/)?models/(?P<model>[^/:]+)"
MODEL_PATH = re.compile(_MODEL)
PATH = re.compile(_MODEL + ":generateContent")
STATUS_WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
IMAGE_TOKENS = 1120  # output tokens that a 1K picture costs


class GeminiFault(Fault):
    """What can go wrong with a call, mostly as in the real service; `hold` lasts until `POST /release`."""

    kind: Literal["slow", "status", "refuse", "no_image", "jpeg", "webp", "garbage", "hang", "hold"]
    status: Literal[400, 401, 403, 404, 408, 409, 429, 499, 500, 501, 502, 503, 504] = 503
    retry_after_s: Annotated[float | None, Field(ge=0)] = None
    reason: str = "IMAGE_SAFETY"
    blocked: bool = False
    what: Literal["html", "cut_json", "bad_base64", "not_an_image", "empty"] = "html"


class ApiError(Exception):
    """An answer other than 200, in the JSON that all Google APIs share."""

    def __init__(self, status: int, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.retry_after_s = status, message, retry_after_s

    def response(self) -> Response:
        """The error as sent."""
        error: dict[str, Any] = {
            "code": self.status,
            "message": self.message,
            "status": STATUS_WORDS[self.status],
        }
        headers = {}
        if self.retry_after_s is not None:
            info = {
                "@type": "type.googleapis.com/google.rpc.RetryInfo",
                "retryDelay": f"{self.retry_after_s:g}s",
            }
            error["details"] = [info]
            headers["retry-after"] = f"{self.retry_after_s:g}"
        return JSONResponse({"error": error}, self.status, headers)


def authorize(headers: Mapping[str, str], vertex: bool) -> None:
    """A key, or on Vertex's paths a bearer token, must be there; its value does not matter."""
    if headers.get("x-goog-api-key"):
        return
    if not vertex:
        raise ApiError(
            403,
            "Method doesn't allow unregistered callers.",
        )
    if not headers.get("authorization", "").startswith("Bearer "):
        raise ApiError(401, "Request is missing required authentication credential.")


def sketch(body: bytes) -> bytes:
    """The first picture in the request, as `inlineData` or `inline_data`, in any base64 alphabet. Raises ApiError."""
    try:
        for content in orjson.loads(body)["contents"]:
            for part in content["parts"]:
                if inline := part.get("inlineData") or part.get("inline_data"):
                    data = inline["data"].translate(str.maketrans("-_", "+/"))
                    if not (inline.get("mimeType") or inline.get("mime_type")):
                        raise ApiError(400, "Unsupported MIME type: .")
                    return pybase64.b64decode(data + "=" * (-len(data) % 4), validate=True)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ApiError(400, "Invalid JSON payload received.") from error
    raise ApiError(400, "The stand-in redraws a picture: send one as inlineData.")


def encoded(png: bytes, kind: str) -> bytes:
    """The picture in the format that the fault asks for; JPEG and WebP on white, as JPEG has no transparency."""
    if kind not in ("jpeg", "webp"):
        return png
    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        paper = Image.new("RGBA", picture.size, "white")
        Image.alpha_composite(paper, picture.convert("RGBA")).convert("RGB").save(out, kind.upper())
    return out.getvalue()


def content(redrawn: Redrawn, picture: bytes, model: str) -> dict[str, Any]:
    """A whole answer: metadata as text, the picture inline. JPEG is labelled PNG, as the real models do."""
    words = {name: getattr(redrawn, name) for name in ("title", "style", "palette", "background", "notes")}
    inline = {"mimeType": "image/png", "data": pybase64.b64encode(picture).decode()}
    parts = [{"text": orjson.dumps(words).decode()}, {"inlineData": inline}]
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
    return {"candidates": [candidate], **_trailer(model, IMAGE_TOKENS)}


def described(model: str, vertex: bool) -> Response:
    """The answer to a GET of a model (reference pages "models.get" and "publishers.models.get"); it is not billed."""
    if vertex:
        words = {"name": f"publishers/google/models/{model}", "versionId": "001"}
        return JSONResponse({**words, "openSourceCategory": "PROPRIETARY", "launchStage": "GA"})
    limits = {"inputTokenLimit": 65536, "outputTokenLimit": 32768}
    methods = ["generateContent", "countTokens", "batchGenerateContent"]
    words = {"name": f"models/{model}", "version": "3.0", "displayName": model}
    sampling = {"temperature": 1, "topP": 0.95, "topK": 64, "maxTemperature": 1}
    return JSONResponse({**words, **limits, "supportedGenerationMethods": methods, **sampling})


def _trailer(model: str, output_tokens: int) -> dict[str, Any]:
    """The last fields of every answer."""
    usage = {
        "promptTokenCount": 258,
        "candidatesTokenCount": output_tokens,
        "totalTokenCount": 258 + output_tokens,
    }
    return {"usageMetadata": usage, "modelVersion": model, "responseId": uuid.uuid4().hex}


def refusal(fault: GeminiFault, model: str) -> Response:
    """An answer without a picture: the prompt was blocked, or a candidate without content has a finish reason."""
    if fault.blocked:
        return JSONResponse({"promptFeedback": {"blockReason": fault.reason}, **_trailer(model, 0)})
    return JSONResponse({"candidates": [{"finishReason": fault.reason, "index": 0}], **_trailer(model, 0)})


def spoiled(answer: dict[str, Any], fault: GeminiFault | None) -> Response:
    """The answer as sent, damaged as the fault asks."""
    parts = answer["candidates"][0]["content"]["parts"]
    what = fault.what if fault and fault.kind == "garbage" else ""
    if fault and fault.kind == "no_image":
        parts.pop()
    elif what == "html":
        return Response("<html><body>Bad gateway</body></html>", media_type="text/html")
    elif what == "bad_base64":
        parts[1]["inlineData"]["data"] = "*** not base64 ***"
    elif what == "not_an_image":
        parts[1]["inlineData"]["data"] = pybase64.b64encode(b"This is no picture.").decode()
    elif what == "empty":
        answer = {}
    body = orjson.dumps(answer)
    return Response(body[: len(body) // 2] if what == "cut_json" else body, media_type="application/json")
