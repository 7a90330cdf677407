"""The GraphQL function as the platform runs it, while a client waits: what it sees, and what is paid for."""

from __future__ import annotations

import asyncio
import base64
import io
import re
from typing import Any

import pytest
import redis.asyncio
from PIL import Image
from rubydraw import keys

from tests import servers
from tests.functions.sketch_service import SketchService, shown
from tests.sketches import png
from tests.stand_ins import GeminiStandIn, PubsubStandIn

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def test_new_sketch_is_drawn_and_a_repeat_is_a_hit(
    service: SketchService, gemini_stand_in: GeminiStandIn
) -> None:
    """The same drawing both times, and one call."""
    first, again = await service.improve(), await service.improve()
    assert ("MISS", "HIT") == (shown(first)[0], shown(again)[0])
    assert shown(first)[1] == shown(again)[1]
    for payload in (first, again):
        assert (None, [], None, None) == tuple(
            payload[name] for name in ("requestId", "errors", "problem", "clientMutationId")
        )
    assert 1 == await gemini_stand_in.calls()


async def test_drawing_has_every_field_of_the_contract(service: SketchService) -> None:
    """A PNG in base64, its words, and where it comes from."""
    cat = base64.b64encode((servers.ROOT / "examples" / "cat.png").read_bytes()).decode()
    result = (await service.improve(pngBase64=cat))["result"]
    with Image.open(io.BytesIO(base64.b64decode(result["imageBase64"], validate=True))) as picture:
        assert "PNG" == picture.format
    provenance = result["provenance"]
    assert ("image/png", "gemini-3.1-flash-image") == (result["mimeType"], provenance["model"])
    assert all(result[name] for name in ("title", "style", "palette", "background", "notes"))
    assert TIME.fullmatch(provenance["createdAt"])
    assert 0 < provenance["providerMs"] < 10_000


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
async def test_whatever_gemini_sends_becomes_png(
    service: SketchService, gemini_stand_in: GeminiStandIn, kind: str
) -> None:
    """From the cache, too."""
    await gemini_stand_in.fail(kind)
    for cache in ("MISS", "HIT"):
        assert (cache, "iVBORw0KGgo") == (shown(payload := await service.improve())[0], shown(payload)[1][:11])


async def test_explicit_nulls_mean_the_defaults(service: SketchService, gemini_stand_in: GeminiStandIn) -> None:
    """The front end sends them; they are the same sketch as absent fields."""
    nulls = dict.fromkeys(["svg", "hints", "async", "variant", "idempotencyKey", "clientMutationId"])
    assert ["MISS", "HIT", "HIT"] == [
        shown(await service.improve(**input))[0] for input in (nulls, {}, {"svg": "", "hints": " ", "variant": 0})
    ]
    assert 1 == await gemini_stand_in.calls()


async def test_data_url_and_line_breaks_are_the_same_sketch(service: SketchService) -> None:
    """However the browser wrote it."""
    plain = base64.b64encode(png()).decode()
    broken = "\r\n".join(plain[at : at + 76] for at in range(0, len(plain), 76))
    caches = [
        shown(await service.improve(pngBase64=text))[0] for text in (plain, f"data:image/png;base64,{plain}", broken)
    ]
    assert ["MISS", "HIT", "HIT"] == caches


async def test_variants_are_drawings_of_their_own(service: SketchService, gemini_stand_in: GeminiStandIn) -> None:
    """Each is cached too."""
    caches = [shown(await service.improve(variant=variant))[0] for variant in (0, 1, 2, 1, 0)]
    assert ["MISS", "MISS", "MISS", "HIT", "HIT"] == caches
    assert 3 == await gemini_stand_in.calls()


async def test_identical_sketches_at_once_share_exactly_one_call(
    service: SketchService, gemini_stand_in: GeminiStandIn
) -> None:
    """One is told MISS, the others COALESCED, and all get the same drawing."""
    await gemini_stand_in.fail("hold")
    asked = [asyncio.create_task(service.improve()) for _ in range(10)]
    await gemini_stand_in.until_waiting(1)
    assert [] == [task for task in asked if task.done()]
    await gemini_stand_in.release()
    payloads = await asyncio.gather(*asked)
    assert 1 == len({shown(payload)[1] for payload in payloads})
    assert 1 == await gemini_stand_in.calls()
    caches = sorted(shown(payload)[0] for payload in payloads)
    assert (1, set()) == (caches.count("MISS"), set(caches) - {"MISS", "COALESCED", "HIT"})


async def test_client_that_goes_away_does_not_end_the_call(
    service: SketchService, gemini_stand_in: GeminiStandIn, raw: redis.asyncio.Redis
) -> None:
    """It is paid for: the drawing is kept, and a repeat is a hit."""
    await gemini_stand_in.fail("hold")
    asked = asyncio.create_task(service.improve())
    await gemini_stand_in.until_waiting(1)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await gemini_stand_in.release()
    async with asyncio.timeout(servers.WAIT_S):
        while not await raw.keys(keys.result("*")):
            await asyncio.sleep(servers.POLL_S)
    assert "HIT" == shown(await service.improve())[0]
    assert 1 == await gemini_stand_in.calls()


async def test_client_mutation_id_comes_back(service: SketchService, gemini_stand_in: GeminiStandIn) -> None:
    """With a result, with a request id, and with a problem."""
    answers = [
        await service.improve(clientMutationId="mine"),
        await service.improve(clientMutationId="mine", later=True),
        await service.improve(clientMutationId="mine", pngBase64="!"),
    ]
    assert ["mine"] * 3 == [answer["clientMutationId"] for answer in answers]
    told = "clientMutationId has 257 characters; at most 256 are allowed."
    assert [told] == (await service.improve(clientMutationId="x" * 257))["errors"]


@pytest.mark.parametrize(
    ("fault", "code", "retryable"),
    [
        ({"kind": "refuse"}, "CONTENT_REFUSED", False),
        ({"kind": "status", "status": 400}, "BAD_INPUT", False),
        ({"kind": "status", "status": 403}, "MISCONFIGURED", False),
        ({"kind": "status", "status": 429, "retry_after_s": 7}, "PROVIDER_OVERLOADED", True),
        ({"kind": "status", "status": 500}, "PROVIDER_FAILED", True),
        ({"kind": "status", "status": 504}, "TIMEOUT", True),
        ({"kind": "no_image"}, "NO_IMAGE", True),
        ({"kind": "garbage", "what": "not_an_image"}, "BAD_ANSWER", True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_failure_of_gemini_is_a_problem_in_the_payload(
    service: SketchService, gemini_stand_in: GeminiStandIn, fault: dict[str, Any], code: str, retryable: bool
) -> None:
    """HTTP 200, no result, the same sentence for old clients and new; the next sketch is not concerned."""
    await gemini_stand_in.fail(**fault)
    payload = await service.improve()
    problem = payload["problem"]
    assert (None, None, code, retryable) == (
        payload["result"], payload["requestId"], problem["code"], problem["retryable"],
    )  # fmt: skip
    assert [problem["message"]] == payload["errors"]
    assert "stand-in" not in problem["message"]
    assert 1 == await gemini_stand_in.calls()


async def test_overload_says_when_to_come_back(service: SketchService, gemini_stand_in: GeminiStandIn) -> None:
    """Meanwhile nobody calls, and what is cached is served."""
    await service.improve(1)
    await gemini_stand_in.fail("status", status=429, retry_after_s=7)
    overloaded, other = await service.improve(2), await service.improve(3)
    for payload in (overloaded, other):
        assert "PROVIDER_OVERLOADED" == payload["problem"]["code"]
        assert 0 < payload["problem"]["retryAfterSeconds"] <= 7
    assert "HIT" == shown(await service.improve(1))[0]
    assert 2 == await gemini_stand_in.calls()


async def test_refused_sketch_costs_one_call(service: SketchService, gemini_stand_in: GeminiStandIn) -> None:
    """Asking again has the same answer at once, also after the flight's own memory of it."""
    await gemini_stand_in.fail("refuse")
    codes = [(await service.improve())["problem"]["code"] for _ in range(3)]
    assert ["CONTENT_REFUSED"] * 3 == codes
    assert 1 == await gemini_stand_in.calls()


@pytest.mark.parametrize(
    "input",
    [
        {"pngBase64": ""},
        {"pngBase64": "no base64!"},
        {"pngBase64": base64.b64encode(b"GIF89a").decode()},
        {"pngBase64": base64.b64encode(png()[:-20]).decode()},
        {"hints": "x" * 2001},
        {"hints": "\x00"},
        {"svg": "x" * (256 * 1024 + 1)},
        {"variant": -1},
        {"variant": 1000},
        {"idempotencyKey": "two words", "async": True},
    ],
    ids=lambda input: ascii(input)[:40],
)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
async def test_bad_input_is_one_sentence_and_costs_nothing(
    service: SketchService,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
    input: dict[str, Any],
    asynchronous: bool,
) -> None:
    """Nothing is called, nothing handed over."""
    payload = await service.improve(**{"async": asynchronous, **input})
    assert ("BAD_INPUT", False, None, None) == (
        payload["problem"]["code"], payload["problem"]["retryable"], payload["result"], payload["requestId"],
    )  # fmt: skip
    assert [payload["problem"]["message"]] == payload["errors"]
    assert (0, []) == (await gemini_stand_in.calls(), await pubsub_stand_in.pulled())
