"""The GraphQL function as the platform runs it, when asked how it stands: jobs, health, and Redis away."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
import redis.asyncio
from rubydraw import keys
from rubydraw.errors import Code

from tests import servers
from tests.functions.sketch_service import IMPROVE, STATUS, SketchService, shown
from tests.servers import Server, free_port
from tests.sketches import png
from tests.stand_ins import GeminiStandIn, PubsubStandIn

NOBODY = "11111111-2222-4333-8444-555555555555"


TIME_BASED = "f836384c-e75d-11f1-9ad5-02fc00000001"


@pytest.mark.parametrize(
    "request_id",
    ["", "*", NOBODY, NOBODY.upper(), f"{NOBODY}\n", "\r\nFLUSHALL\r\n", "\0", TIME_BASED, "x" * 500_000],
    ids=lambda request_id: ascii(request_id)[:40],
)
async def test_unknown_and_malformed_ids_are_not_found(service: SketchService, request_id: str) -> None:
    """One answer for all of them, which says nothing else."""
    times = ("createdAt", "updatedAt", "retryAt", "expiresAt", "etaMs", "pollAfterMs")
    expected = dict.fromkeys(("result", "error", "problem", *times))
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
    for field, selected in (("status", "status"), ("error", "error"), ("problem", "problem { code }")):
        lean = f"query($id: String!) {{ improveSketchStatus(requestId: $id) {{ {selected} }} }}"
        answer = await service.post(lean, {"id": request_id})
        expected = {"code": "RESULT_EXPIRED"} if field == "problem" else status[field]
        assert {"improveSketchStatus": {field: expected}} == answer["data"]


async def test_poll_without_the_image_does_not_move_it(service: SketchService, raw: redis.asyncio.Redis) -> None:
    """Out of Redis come some hundred bytes a poll."""
    await service.improve()
    request_id = await service.submit()
    [key] = await raw.keys(keys.result("*"))
    await raw.hset(key, "image", png() + bytes(500_000))
    before = (await raw.info("stats"))["total_net_output_bytes"]
    lean = "query($id: String!) { improveSketchStatus(requestId: $id) { error problem { code } result { title } } }"
    for _ in range(10):
        await service.post(lean, {"id": request_id})
    assert (await raw.info("stats"))["total_net_output_bytes"] - before < 100_000


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
    """Nothing is handed over that nobody could follow, and no word of Redis' is told."""
    for key in (None, "a-key"):
        payload = await cut_off.improve(later=True, idempotencyKey=key)
        assert (None, "UNAVAILABLE") == (payload["requestId"], payload["problem"]["code"])
        assert [Code.UNAVAILABLE.sentence] * 2 == [*payload["errors"], payload["problem"]["message"]]
    assert [] == await pubsub_stand_in.pulled()


async def test_without_redis_a_status_is_an_error(cut_off: SketchService) -> None:
    """`not_found` would be a statement about the id; no word of Redis' is told."""
    answer = await cut_off.post(STATUS, {"id": NOBODY})
    assert None is answer["data"]
    [error] = answer["errors"]
    assert ("UNAVAILABLE", 32) == (error["extensions"]["code"], len(error["extensions"]["trace"]))
    assert Code.UNAVAILABLE.sentence == error["message"]


async def test_documents_are_the_contracts(service: SketchService) -> None:
    """Fields of a later issue, and of the app's other services, are not there."""
    for query in (IMPROVE.replace("requestId", "waitSeconds"), "{ boards { id } }", "{ __schema { types { name } } }"):
        answer = await service.post(query, {"input": {"pngBase64": ""}})
        assert ("data" in answer, bool(answer["errors"])) == (False, True)
