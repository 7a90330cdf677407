"""Access at the function as the platform runs it: who gets in, what is theirs, and what nobody is told."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
import redis.asyncio
from rubydraw import api_keys
from rubydraw.graphql_settings import GraphqlSettings
from rubydraw.limits.quotas import Quotas
from rubydraw.redis.store import connect

from tests import servers
from tests.functions.issuer import AUDIENCE, Issuer, issuing
from tests.functions.sketch_service import STATUS, SketchService, Words
from tests.functions.tiny_graphql import TinyService, access
from tests.servers import Server
from tests.stand_ins import GeminiStandIn, PubsubStandIn

ADA, _ada = api_keys.new("ada")
BO, _bo = api_keys.new("bo")
OLD, _old = api_keys.new("old", expires=str(datetime.now(UTC).date() - timedelta(days=1)))
FOLLOW = """subscription($id: String!) { improveSketchStatus(requestId: $id) { status } }"""
ORIGIN = "https://draw.example"
REFUSED: Words = {"errors": [{"message": "Authentication is needed.", "extensions": {"code": "UNAUTHENTICATED"}}]}

BAD: dict[str, list[str]] = {
    "nothing": [],
    "empty": [""],
    "no scheme": [ADA],
    "another scheme": [f"Basic {ADA}"],
    "no credential": ["Bearer"],
    "two credentials": [f"Bearer {ADA} {ADA}"],
    "a list": [f"Bearer {ADA}, Bearer {ADA}"],
    "twice": [f"Bearer {ADA}"] * 2,
    "a good and a bad one": [f"Bearer {ADA}", "Bearer x"],
    "a tab": [f"Bearer\t{ADA}"],
    "a tab inside": [f"Bearer {ADA[:20]}\t{ADA[20:]}"],
    "not ASCII": [f"Bearer {ADA}é"],
    "full-width": [f"Bearer {ADA[:-1]}\uff21"],
    "gigantic": [f"Bearer {ADA}{'A' * 20_000}"],
    "a gigantic token": [f"Bearer {'A' * 10_000}.{'A' * 10_000}.A"],
    "unknown key": [f"Bearer {api_keys.new('ada')[0]}"],
    "its hash": [f"Bearer {_ada.sha256}"],
    "expired key": [f"Bearer {OLD}"],
    "no token": ["Bearer a.b.c"],
}


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as running:
        yield running


@pytest.fixture(scope="module")
def guarded_server(environment: dict[str, str], issuer: Issuer) -> Iterator[Server]:
    settings = {
        "ACCESS": "required",
        "IMAGE_SIGNING_KEY": "k" * 32,
        "API_KEYS": json.dumps([key.entry for key in (_ada, _bo, _old)]),
        "JWT_ISSUER": issuer.url,
        "JWT_AUDIENCE": AUDIENCE,
        "JWT_JWKS_URL": f"{issuer.url}/keys",
        "LOG_LEVEL": "DEBUG",
        "CORS_ORIGINS": ORIGIN,
    }
    yield from servers.a_function("graphql", environment | settings)


@pytest.fixture
def guarded(
    guarded_server: Server,
    http: httpx2.AsyncClient,
    raw: redis.asyncio.Redis,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
) -> SketchService:
    """The GraphQL function, which lets in two keys and the users of an issuer."""
    return SketchService(http, guarded_server.url)


def bearer(credential: str) -> dict[str, str]:
    return {"authorization": f"Bearer {credential}"}


async def status(service: SketchService, request_id: str, credential: str) -> dict[str, Any]:
    answer = await service.post(STATUS, {"id": request_id}, bearer(credential))
    state: dict[str, Any] = answer["data"]["improveSketchStatus"]
    return state


def raw_answer(port: int, authorization: list[str], *, body_bytes: int = 5_000_000) -> bytes:
    """Announce a long body, send none of it, and return the whole answer."""
    lines = ["POST /graphql HTTP/1.1", "Host: x", "Connection: close", "Content-Type: application/json"]
    lines += [f"Content-Length: {body_bytes}", *(f"Authorization: {value}" for value in authorization)]
    with socket.create_connection(("127.0.0.1", port), timeout=servers.WAIT_S) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = b""
        while REFUSED["errors"][0]["message"].encode() not in answer and (piece := connection.recv(65536)):
            answer += piece
    return answer


@pytest.mark.parametrize("name", BAD)
async def test_whoever_is_not_known_is_refused_before_the_body_is_read(guarded_server: Server, name: str) -> None:
    """401 with a challenge and always the same words: not a byte of the body was sent."""
    answer = await asyncio.to_thread(raw_answer, guarded_server.port, BAD[name])
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.lower().splitlines()
    assert (b"http/1.1 401 unauthorized", REFUSED) == (lines[0], json.loads(body))
    assert b"www-authenticate: bearer" in lines


@pytest.mark.parametrize(
    "authorization",
    [f"Bearer {ADA}", f"bearer {ADA}", f"BEARER   {BO}", ""],
    ids=["Bearer", "bearer", "BEARER and spaces", "token"],
)
async def test_whoever_is_known_gets_in(guarded: SketchService, issuer: Issuer, authorization: str) -> None:
    """By key or by token; the scheme is written as one likes."""
    payload = await guarded.improve(headers={"authorization": authorization or f"Bearer {issuer.token()}"})
    assert ([], "MISS") == (payload["errors"], payload["result"]["provenance"]["cache"])


@pytest.mark.parametrize("after", [" ", "\t", " \t "], ids=ascii)
async def test_white_space_after_a_credential_is_no_part_of_it(guarded_server: Server, after: str) -> None:
    """It is none of the value of any header field; no client library would send it."""
    lines = ["GET /graphql?query={__typename} HTTP/1.1", "Host: x", "Connection: close"]
    reader, writer = await asyncio.open_connection("127.0.0.1", guarded_server.port)
    writer.write("\r\n".join([*lines, f"Authorization: Bearer {ADA}{after}", "", ""]).encode())
    async with asyncio.timeout(servers.WAIT_S):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_credential_has_8_kilobytes_at_most(
    guarded: SketchService, http: httpx2.AsyncClient, issuer: Issuer
) -> None:
    """A token of the issuer's that says more is not even looked at."""
    for padding, expected in ((5000, 200), (6000, 401)):
        token = issuer.token(padding="x" * padding)
        answer = await http.post(f"{guarded.url}/graphql", json={"query": "{ __typename }"}, headers=bearer(token))
        assert (expected, expected == 200) == (answer.status_code, len(token) < 8192 - len("Bearer "))


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_method_and_no_media_type_gets_around_it(
    guarded: SketchService, http: httpx2.AsyncClient, method: str
) -> None:
    """Queries by GET, streams, and paths with a query string need a key as well."""
    for path in ("/", "/graphql", "/graphql?key=x"):
        for accept in ("application/json", "text/event-stream", "*/*", "image/png"):
            answer = await http.request(
                method, f"{guarded.url}{path}", params={"query": "{ __typename }"}, headers={"accept": accept}
            )
            assert (401, "Bearer") == (answer.status_code, answer.headers["www-authenticate"])


async def test_health_and_preflights_need_no_key(guarded: SketchService, http: httpx2.AsyncClient) -> None:
    """A browser sends no credential with a preflight, and a page may read that it was refused."""
    assert [200, 200] == [(await guarded.get(path))[0] for path in ("/up", "/ready")]
    asked = {"origin": ORIGIN, "access-control-request-method": "POST"}
    preflight = await http.options(f"{guarded.url}/graphql", headers=asked)
    assert (204, ORIGIN) == (preflight.status_code, preflight.headers["access-control-allow-origin"])
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    refused = await http.post(f"{guarded.url}/graphql", json={"query": "{ __typename }"}, headers={"origin": ORIGIN})
    assert (401, ORIGIN) == (refused.status_code, refused.headers["access-control-allow-origin"])


async def test_a_job_is_not_found_by_anybody_else(guarded: SketchService, issuer: Issuer) -> None:
    """Not by another key, not by a user of the same name; not even its hidden state is told."""
    request_id = await guarded.submit(headers=bearer(ADA))
    mine, strangers = await status(guarded, request_id, ADA), [BO, issuer.token(), issuer.token(sub="key:ada")]
    assert "queued" == mine["status"]
    nowhere = await status(guarded, "00000000-0000-4000-8000-000000000000", BO)
    for stranger in strangers:
        seen = await status(guarded, request_id, stranger)
        assert {**nowhere, "requestId": request_id} == seen


async def test_a_drawing_is_seen_by_its_owner_alone(
    guarded: SketchService, worker_server: Server, pubsub_stand_in: PubsubStandIn
) -> None:
    """Also once it is done, the worker having settled it; the sketch itself is drawn once for all."""
    await pubsub_stand_in.push_to(worker_server.url)
    payload = await guarded.improve(later=True, waitSeconds=30, headers=bearer(ADA))
    request_id = payload["requestId"]
    assert payload["result"]["imageBase64"] == (await status(guarded, request_id, ADA))["result"]["imageBase64"]
    seen = await status(guarded, request_id, BO)
    assert ("not_found", None) == (seen["status"], seen["result"])
    assert "HIT" == (await guarded.improve(headers=bearer(BO)))["result"]["provenance"]["cache"]


@pytest.mark.parametrize(("credential", "seen"), [(ADA, "queued"), (BO, "not_found")], ids=["owner", "stranger"])
async def test_a_stream_is_of_the_owner_alone(
    guarded: SketchService, http: httpx2.AsyncClient, credential: str, seen: str
) -> None:
    """A stranger's is one `not_found`, and complete."""
    request_id = await guarded.submit(headers=bearer(ADA))
    body = {"query": FOLLOW, "variables": {"id": request_id}}
    headers = {"accept": "text/event-stream", **bearer(credential)}
    async with http.stream("POST", f"{guarded.url}/graphql", json=body, headers=headers) as response:
        told = ""
        async for line in response.aiter_lines():
            told = line if line.startswith("data: {") else told
            if told or line == "event: complete":
                break
        assert seen == json.loads(told[6:])["data"]["improveSketchStatus"]["status"]


async def test_idempotency_keys_of_two_callers_never_meet(guarded: SketchService) -> None:
    """Each has a job of their own; the same caller gets the same, by either of two keys of one name."""
    mine = await guarded.submit(idempotencyKey="a-key", headers=bearer(ADA))
    assert mine == await guarded.submit(idempotencyKey="a-key", headers=bearer(ADA))
    other = await guarded.submit(2, idempotencyKey="a-key", headers=bearer(BO))
    assert mine != other
    assert "not_found" == (await status(guarded, other, ADA))["status"]


async def test_who_fails_again_and_again_is_refused_as_such(guarded: SketchService, http: httpx2.AsyncClient) -> None:
    """By address, with the seconds after which to come again; a key is still taken there, and other addresses wait
    for nobody."""

    async def asks(address: str, credential: str) -> httpx2.Response:
        headers = bearer(credential) | {"x-forwarded-for": address}
        return await http.post(f"{guarded.url}/graphql", json={"query": "{ __typename }"}, headers=headers)

    failed = await asyncio.gather(*(asks("192.0.2.30", "wrong") for _ in range(40)))
    assert [401] * 30 + [429] * 10 == sorted(answer.status_code for answer in failed)
    refused = next(answer for answer in failed if answer.status_code == 429)
    assert "RATE_LIMITED" == refused.json()["errors"][0]["extensions"]["code"]
    assert 0 < int(refused.headers["retry-after"]) <= 61
    assert 200 == (await asks("192.0.2.30", ADA)).status_code
    assert 401 == (await asks("192.0.2.31", "wrong")).status_code


async def test_no_credential_reaches_a_log_line(guarded: SketchService, guarded_server: Server, issuer: Issuer) -> None:
    """Good or bad, key or token, whole or in its longest part; the reason does."""
    canary, token, forged = api_keys.new("canary")[0], issuer.token(sub="canary-sub"), issuer.token(aud="canary-aud")
    await guarded.improve(headers=bearer(ADA))
    await guarded.improve(headers=bearer(token))
    for credential in (canary, forged, f"{canary}\t"):
        await asyncio.to_thread(raw_answer, guarded_server.port, [f"Bearer {credential}"])
    lines = "\n".join(guarded_server.lines)
    for secret in (canary, ADA, *token.split("."), *forged.split("."), _ada.sha256, "canary"):
        assert secret not in lines
    reasons = {json.loads(line)["reason"] for line in guarded_server.lines if '"access.refused"' in line}
    assert {"unknown_key", "InvalidAudienceError"} <= reasons


def keeping(away: Issuer, *, places: int = 250) -> TinyService:
    """A service that lets in Ada by her key, and whoever has a token of this issuer."""
    issuer = {"JWT_ISSUER": away.url, "JWT_AUDIENCE": AUDIENCE, "JWT_JWKS_URL": f"{away.url}/keys"}
    needed = {"REDIS_URL": "redis://127.0.0.1:1", "GEMINI_API_KEY": "k", "IMAGE_SIGNING_KEY": "k" * 32}
    needed |= {"API_KEYS": json.dumps([_ada.entry])}
    quotas = Quotas(connect("redis://127.0.0.1:1", ""), requests_per_minute=None)
    guard = access.Access(GraphqlSettings.from_env(needed | issuer), quotas)
    return TinyService(principal=guard.principal, places=places)


async def test_a_silent_key_server_is_our_fault() -> None:
    """503 with a time to come again, never 401, while keys go on opening."""
    with issuing() as away:
        away.fault = "500"
        service = keeping(away)
        answer = await service.post({"query": "{ __typename }"}, **bearer(away.token()))
        assert (503, "UNAVAILABLE") == (answer.status_code, answer.json()["errors"][0]["extensions"]["code"])
        assert 1 <= int(answer.headers["retry-after"]) <= 5
        assert 200 == (await service.post({"query": "{ __typename }"}, **bearer(ADA))).status_code
        assert 401 == (await service.post({"query": "{ __typename }"}, **bearer("x"))).status_code


async def test_who_waits_for_the_key_server_takes_no_room() -> None:
    """Nobody knows who that is: a key goes on opening, however large the bodies of strangers."""
    with issuing() as away:
        away.fault = "hang"
        service = keeping(away, places=1)
        stranger = asyncio.create_task(service.post(b" " * 2_000_000, **bearer(away.token())))
        async with asyncio.timeout(servers.WAIT_S):
            while not away.fetches:
                await asyncio.sleep(servers.POLL_S)
        assert 0 == service.intake.held_bytes
        assert 200 == (await service.post({"query": "{ __typename }"}, **bearer(ADA))).status_code
        away.release.set()
        assert 503 == (await stranger).status_code
