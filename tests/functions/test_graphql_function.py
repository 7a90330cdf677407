"""The GraphQL function as the platform runs it: what a client sees, what is paid for, what is handed over."""

from __future__ import annotations

import asyncio
import base64
import io
import re
import uuid
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import redis.asyncio
from PIL import Image
from rubydraw import keys
from rubydraw.message import JobMessage

from tests import servers
from tests.functions.sketch_service import IMPROVE, STATUS, SketchService
from tests.servers import Server, free_port
from tests.sketches import now_ms, png
from tests.stand_ins import GeminiStandIn, PubsubStandIn

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
NOBODY = "11111111-2222-4333-8444-555555555555"


def shown(payload: dict[str, Any]) -> tuple[str, str]:
    """How an answer was come by, and its image."""
    return payload["result"]["provenance"]["cache"], payload["result"]["imageBase64"]


# while the client waits


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
    result = (await service.improve())["result"]
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
    assert "BAD_INPUT" == (await service.improve(clientMutationId="x" * 257))["problem"]["code"]


# expected failures


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


# in the background


async def test_job_is_queued_and_handed_over(service: SketchService, pubsub_stand_in: PubsubStandIn) -> None:
    """The message holds all that a worker needs."""
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    request_id = await service.submit(svg="<svg/>", hints="a hat", variant=2, headers={"traceparent": traceparent})
    [(data, attributes)] = await pubsub_stand_in.pulled()
    message = JobMessage.read(data, attributes, max_png_bytes=1024 * 1024)
    assert (request_id, 0, traceparent) == (message.request_id, message.generation, message.traceparent)
    assert abs(now_ms() - message.created_at_ms) < 10_000
    assert ("<svg/>", "a hat", 2) == (message.sketch.svg, message.sketch.hints, message.sketch.variant)
    status = await service.status(request_id)
    assert ("queued", 0, 3, None, None, None, None) == tuple(
        status[name] for name in ("status", "attempt", "maxAttempts", "result", "error", "problem", "retryAt")
    )
    assert TIME.fullmatch(status["createdAt"])
    assert status["createdAt"] == status["updatedAt"] < status["expiresAt"]


async def test_job_is_done_by_the_worker(
    service: SketchService, pubsub_stand_in: PubsubStandIn, worker_server: Server, gemini_stand_in: GeminiStandIn
) -> None:
    """Its result is what a sync request would have had, and what the next one has."""
    await pubsub_stand_in.push_to(worker_server.url)
    request_id = await service.submit()
    done = await service.settled(request_id)
    assert ("done", 1, None, None) == (done["status"], done["attempt"], done["error"], done["problem"])
    assert done["createdAt"] <= done["updatedAt"]
    assert "MISS" == shown(done)[0]
    assert ("HIT", shown(done)[1]) == shown(await service.improve())
    assert 1 == await gemini_stand_in.calls()


async def test_worker_may_be_faster_than_the_answer(
    service: SketchService, pubsub_stand_in: PubsubStandIn, worker_server: Server
) -> None:
    """The job is done before its publish is answered, and stays done."""
    await pubsub_stand_in.push_to(worker_server.url)
    await pubsub_stand_in.fail("deliver_first")
    assert "done" == (await service.status(await service.submit()))["status"]


async def test_job_for_a_cached_sketch_is_done_at_once(
    service: SketchService, gemini_stand_in: GeminiStandIn, pubsub_stand_in: PubsubStandIn
) -> None:
    """Nothing is handed over, and nothing called."""
    _, image = shown(await service.improve())
    done = await service.status(await service.submit())
    assert ("done", 0, ("HIT", image)) == (done["status"], done["attempt"], shown(done))
    assert ([], 1) == (await pubsub_stand_in.pulled(), await gemini_stand_in.calls())


@pytest.mark.parametrize("prefer", ["respond-async", "wait=10, Respond-Async"])
async def test_prefer_header_asks_for_async(service: SketchService, prefer: str) -> None:
    """As RFC 7240 says, also beside other preferences and an explicit default."""
    payload = await service.improve(headers={"Prefer": prefer}, later=False)
    assert (None, True) == (payload["result"], bool(payload["requestId"]))


@pytest.mark.parametrize(("status", "code", "retryable"), [(403, "MISCONFIGURED", False), (503, "UNAVAILABLE", True)])
async def test_job_that_cannot_be_handed_over_is_refused(
    service: SketchService,
    pubsub_stand_in: PubsubStandIn,
    raw: redis.asyncio.Redis,
    status: int,
    code: str,
    retryable: bool,
) -> None:
    """No request id, and nothing is left waiting."""
    await pubsub_stand_in.fail("refuse_publish", status=status, times=1000)
    payload = await service.improve(later=True)
    assert (None, code, retryable) == (
        payload["requestId"], payload["problem"]["code"], payload["problem"]["retryable"],
    )  # fmt: skip
    [key] = await raw.keys(keys.status("*"))
    assert [b"error", code.encode()] == await raw.hmget(key, ["status", "code"])


# idempotency keys


async def test_repeated_key_is_the_same_request(service: SketchService, pubsub_stand_in: PubsubStandIn) -> None:
    """While it is queued its message is sent again, which harms nothing."""
    ids = [await service.submit(idempotencyKey="a-key") for _ in range(2)]
    assert 1 == len(set(ids))
    assert ids == [attributes["request_id"] for _, attributes in await pubsub_stand_in.pulled()]


async def test_header_and_field_are_the_same_key(service: SketchService) -> None:
    """The field goes first where both are there."""
    by_field = await service.submit(idempotencyKey="a-key")
    assert by_field == await service.submit(headers={"Idempotency-Key": "a-key"})
    assert by_field == await service.submit(idempotencyKey="a-key", headers={"Idempotency-Key": "another"})
    assert by_field != await service.submit(headers={"Idempotency-Key": "another"})


async def test_ten_requests_at_once_with_one_key_are_exactly_one(service: SketchService) -> None:
    """All are told the same request id."""
    ids = await asyncio.gather(*(service.submit(idempotencyKey="a-key") for _ in range(10)))
    assert 1 == len(set(ids))


async def test_key_with_another_sketch_is_a_conflict(service: SketchService, pubsub_stand_in: PubsubStandIn) -> None:
    """Nothing is handed over for it."""
    await service.submit(1, idempotencyKey="a-key")
    payload = await service.improve(2, idempotencyKey="a-key", later=True)
    assert (None, "IDEMPOTENCY_CONFLICT", False) == (
        payload["requestId"], payload["problem"]["code"], payload["problem"]["retryable"],
    )  # fmt: skip
    assert 1 == len(await pubsub_stand_in.pulled())


@pytest.mark.parametrize(
    ("stands", "same_id", "messages"),
    [
        ({"status": "done"}, True, 1),
        ({"status": "running", "lease_until_ms": 2**52}, True, 1),
        ({"status": "error", "code": "CONTENT_REFUSED"}, True, 1),
        ({"status": "error", "code": "PROVIDER_FAILED"}, False, 2),
        ({}, True, 2),
    ],
    ids=["done", "running", "failed for good", "failed and retryable", "vanished"],
)
async def test_repeated_key_looks_at_what_became_of_the_request(
    service: SketchService,
    pubsub_stand_in: PubsubStandIn,
    raw: redis.asyncio.Redis,
    stands: dict[Any, Any],
    same_id: bool,
    messages: int,
) -> None:
    """Only what failed and may succeed now, or was forgotten, is submitted anew."""
    first = await service.submit(idempotencyKey="a-key")
    if stands:
        await raw.hset(keys.status(first), mapping=stands)
    else:
        await raw.delete(keys.status(first))
    assert same_id == (first == await service.submit(idempotencyKey="a-key"))
    assert messages == len(await pubsub_stand_in.pulled())


# status


@pytest.mark.parametrize(
    "request_id",
    ["", "*", NOBODY, NOBODY.upper(), f"{NOBODY}\n", "\r\nFLUSHALL\r\n", "\0", str(uuid.uuid1()), "x" * 500_000],
    ids=lambda request_id: ascii(request_id)[:40],
)
async def test_unknown_and_malformed_ids_are_not_found(service: SketchService, request_id: str) -> None:
    """One answer for all of them, which says nothing else."""
    expected = dict.fromkeys(("result", "error", "problem", "createdAt", "updatedAt", "retryAt", "expiresAt"))
    status = await service.status(request_id)
    assert {**expected, "requestId": request_id, "status": "not_found", "attempt": 0, "maxAttempts": 3} == status


async def test_failed_job_says_why(service: SketchService, raw: redis.asyncio.Redis) -> None:
    """Old clients read `error`, new ones `problem`."""
    request_id = await service.submit()
    await raw.hset(keys.status(request_id), mapping={"status": "error", "code": "NO_IMAGE", "message": ""})
    status = await service.status(request_id)
    assert ("error", "NO_IMAGE", True) == (
        status["status"], status["problem"]["code"], status["problem"]["retryable"],
    )  # fmt: skip
    assert (status["problem"]["message"], None) == (status["error"], status["result"])


async def test_vanished_result_reads_as_expired(service: SketchService, raw: redis.asyncio.Redis) -> None:
    """Never `done` without a result, whichever field is asked for; sending the sketch again helps."""
    await service.improve()
    request_id = await service.submit()
    await raw.delete(*await raw.keys(keys.result("*")))
    status = await service.status(request_id)
    assert ("error", "RESULT_EXPIRED", True, None) == (
        status["status"], status["problem"]["code"], status["problem"]["retryable"], status["result"],
    )  # fmt: skip
    lean = "query($id: String!) { improveSketchStatus(requestId: $id) { status } }"
    answer = await service.post(lean, {"id": request_id})
    assert {"improveSketchStatus": {"status": "error"}} == answer["data"]


async def test_poll_without_the_image_does_not_move_it(service: SketchService, raw: redis.asyncio.Redis) -> None:
    """Out of Redis come some hundred bytes a poll."""
    await service.improve()
    request_id = await service.submit()
    [key] = await raw.keys(keys.result("*"))
    await raw.hset(key, "image", png() + bytes(500_000))
    before = (await raw.info("stats"))["total_net_output_bytes"]
    lean = "query($id: String!) { improveSketchStatus(requestId: $id) { status result { title } } }"
    for _ in range(10):
        await service.post(lean, {"id": request_id})
    assert (await raw.info("stats"))["total_net_output_bytes"] - before < 100_000


# health, and Redis away


async def test_up_and_ready(service: SketchService) -> None:
    """Both answer 200 while Redis does."""
    assert [(200, {"up": True}), (200, {"ready": True})] == [await service.get(path) for path in ("/up", "/ready")]


@pytest.fixture(scope="module")
def cut_off_server(environment: dict[str, str]) -> Iterator[Server]:
    """A function whose Redis does not run, with an allowance of two calls."""
    away = {"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0", "LOCAL_ALLOWANCE_PER_MINUTE": "2"}
    yield from servers.a_function("graphql", environment | away)


@pytest.fixture
def cut_off(
    cut_off_server: Server,
    http: httpx2.AsyncClient,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
) -> SketchService:
    return SketchService(http, cut_off_server.url)


async def test_without_redis_it_is_up_and_not_ready(cut_off: SketchService) -> None:
    """A new instance would not help, so it is not ended."""
    assert [(200, {"up": True}), (503, {"ready": False})] == [await cut_off.get(path) for path in ("/up", "/ready")]


async def test_without_redis_sketches_are_drawn_up_to_the_allowance(
    cut_off: SketchService, gemini_stand_in: GeminiStandIn
) -> None:
    """Then the answer is UNAVAILABLE, and says when to come back."""
    drawn = [shown(await cut_off.improve(shade))[0] for shade in (1, 2)]
    refused = await cut_off.improve(3)
    assert ["MISS", "MISS"] == drawn
    assert ("UNAVAILABLE", True) == (refused["problem"]["code"], 0 < refused["problem"]["retryAfterSeconds"] <= 60)
    assert 2 == await gemini_stand_in.calls()


async def test_without_redis_no_job_is_accepted(cut_off: SketchService, pubsub_stand_in: PubsubStandIn) -> None:
    """Nothing is handed over that nobody could follow."""
    for key in (None, "a-key"):
        payload = await cut_off.improve(later=True, idempotencyKey=key)
        assert (None, "UNAVAILABLE") == (payload["requestId"], payload["problem"]["code"])
    assert [] == await pubsub_stand_in.pulled()


async def test_without_redis_a_status_is_an_error(cut_off: SketchService) -> None:
    """`not_found` would be a statement about the id."""
    answer = await cut_off.post(STATUS, {"id": NOBODY})
    assert None is answer["data"]
    [error] = answer["errors"]
    assert ("UNAVAILABLE", 32) == (error["extensions"]["code"], len(error["extensions"]["trace"]))


async def test_documents_are_the_contracts(service: SketchService) -> None:
    """Fields of a later issue, and of the app's other services, are not there."""
    for query in (IMPROVE.replace("requestId", "waitSeconds"), "{ boards { id } }", "{ __schema { types { name } } }"):
        answer = await service.post(query, {"input": {"pngBase64": ""}})
        assert ("data" in answer, bool(answer["errors"])) == (False, True)
