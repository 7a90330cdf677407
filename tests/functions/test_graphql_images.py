"""Pictures by address: what an imageUrl leads to, for browsers that keep it and for those who have it already."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import redis.asyncio
from rubydraw import keys

from tests import servers
from tests.functions.sketch_service import ONLY_URL, SketchService
from tests.servers import WAIT_S, Server
from tests.sketches import png
from tests.stand_ins import GeminiStandIn

NOT_HERE = "This picture is not kept here, or no longer; ask for imageUrl again."
NOBODY = "ab" * 32


@pytest.fixture(scope="module")
def signing_server(environment: dict[str, str]) -> Iterator[Server]:
    """A function that signs addresses, for one origin."""
    mine = {"IMAGE_SIGNING_KEY": "k" * 32, "PUBLIC_URL": "https://draw.example", "CORS_ORIGINS": "https://pad.example"}
    yield from servers.a_function("graphql", environment | mine)


@pytest.fixture
def signing(
    signing_server: Server, http: httpx2.AsyncClient, raw: redis.asyncio.Redis, gemini_stand_in: GeminiStandIn
) -> SketchService:
    return SketchService(http, signing_server.url)


async def test_address_leads_to_the_bytes_of_the_picture(service: SketchService, http: httpx2.AsyncClient) -> None:
    """Under the host that was asked, named by their hash, to be kept for ever; HEAD tells the same without them."""
    result = (await service.improve())["result"]
    image = base64.b64decode(result["imageBase64"])
    sha256 = hashlib.sha256(image).hexdigest()
    assert f"{service.url}/images/{sha256}.png" == result["imageUrl"]
    told = {
        "cache-control": "public, max-age=31536000, immutable",
        "content-length": str(len(image)),
        "content-type": "image/png",
        "etag": f'"{sha256}"',
        "x-content-type-options": "nosniff",
    }
    for method, body in (("GET", image), ("HEAD", b"")):
        picture = await http.request(method, result["imageUrl"])
        assert (200, body, told) == (
            picture.status_code,
            picture.content,
            {name: picture.headers[name] for name in told},
        )


async def test_whoever_has_any_picture_is_told_whether_there_is_one(
    service: SketchService, http: httpx2.AsyncClient, raw: redis.asyncio.Redis
) -> None:
    """A star is met by what is kept here, and by nothing else."""
    url = (await service.improve())["result"]["imageUrl"]
    kept = await http.get(url, headers={"if-none-match": "*"})
    await raw.flushall()
    gone = await http.get(url, headers={"if-none-match": "*"})
    assert (304, b"", 404) == (kept.status_code, kept.content, gone.status_code)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("tag", ['"{}"', 'W/"{}"', '"other", "{}"'])
async def test_whoever_has_the_picture_is_told_so(
    service: SketchService, http: httpx2.AsyncClient, raw: redis.asyncio.Redis, method: str, tag: str
) -> None:
    """304 without a body, also when it is no longer kept: a hash names its bytes."""
    url = (await service.improve())["result"]["imageUrl"]
    await raw.flushall()
    sha256 = url.rpartition("/")[2].removesuffix(".png")
    answer = await http.request(method, url, headers={"if-none-match": tag.format(sha256)})
    assert (304, b"", f'"{sha256}"') == (answer.status_code, answer.content, answer.headers["etag"])
    assert "public, max-age=31536000, immutable" == answer.headers["cache-control"]
    assert 404 == (await http.request(method, url, headers={"if-none-match": f'"{NOBODY}", *'})).status_code


async def test_a_hit_that_selects_the_address_alone_moves_no_picture(
    service: SketchService, raw: redis.asyncio.Redis, http: httpx2.AsyncClient
) -> None:
    """Neither out of Redis nor to the client; the address works all the same."""
    await service.improve()
    (key,) = await raw.keys(keys.result("*"))
    image = png() + bytes(100_000)
    await raw.hset(key, mapping={"image": image, "image_sha256": hashlib.sha256(image).hexdigest()})
    before = (await raw.info("stats"))["total_net_output_bytes"]
    for _ in range(5):
        answer = await service.post(ONLY_URL, {"input": {"pngBase64": base64.b64encode(png()).decode()}})
    assert (await raw.info("stats"))["total_net_output_bytes"] - before < len(image)
    url = answer["data"]["improveSketch"]["result"]["imageUrl"]
    assert image == (await http.get(url)).content


async def test_address_is_good_again_once_it_is_handed_out_again(
    service: SketchService, raw: redis.asyncio.Redis, http: httpx2.AsyncClient
) -> None:
    """An eviction of what leads to the drawing is made good by the next answer; without it there is no picture."""
    url = (await service.improve())["result"]["imageUrl"]
    (pointer,) = await raw.keys(keys.image("*"))
    await raw.delete(pointer)
    lost = await http.get(url)
    assert (404, {"errors": [{"message": NOT_HERE}]}) == (lost.status_code, lost.json())
    assert "no-store" == lost.headers["cache-control"]
    assert url == (await service.improve())["result"]["imageUrl"]
    assert 200 == (await http.get(url)).status_code


async def test_drawing_that_an_older_revision_kept_has_an_address(
    service: SketchService, raw: redis.asyncio.Redis, gemini_stand_in: GeminiStandIn, http: httpx2.AsyncClient
) -> None:
    """It is no miss, though its hash was not kept with it."""
    url = (await service.improve())["result"]["imageUrl"]
    (key,) = await raw.keys(keys.result("*"))
    await raw.hdel(key, "image_sha256")
    answer = await service.post(ONLY_URL, {"input": {"pngBase64": base64.b64encode(png()).decode()}})
    assert url == answer["data"]["improveSketch"]["result"]["imageUrl"]
    assert url == (await service.improve())["result"]["imageUrl"]
    assert 200 == (await http.get(url)).status_code
    assert 1 == await gemini_stand_in.calls()


async def test_replaced_picture_is_not_shown_under_the_old_address(
    service: SketchService, raw: redis.asyncio.Redis, http: httpx2.AsyncClient
) -> None:
    """What is kept under a digest may change; what an address names never does."""
    url = (await service.improve())["result"]["imageUrl"]
    (key,) = await raw.keys(keys.result("*"))
    image: Any = await raw.hget(key, "image")
    await raw.hset(key, "image", image + b"changed")
    assert 404 == (await http.get(url)).status_code


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".png",
        f"{NOBODY}",
        f"{NOBODY.upper()}.png",
        f"{NOBODY[1:]}.png",
        f"{NOBODY}.png/",
        f"a/{NOBODY}.png",
        "%2e%2e/up",
    ],
)
async def test_what_is_no_hash_is_no_picture(service: SketchService, http: httpx2.AsyncClient, path: str) -> None:
    """404 and one sentence."""
    answer = await http.get(f"{service.url}/images/{path}")
    assert (404, {"errors": [{"message": NOT_HERE}]}) == (answer.status_code, answer.json())


async def test_a_picture_has_one_address(service: SketchService, http: httpx2.AsyncClient) -> None:
    """A line break or a tab in it, which some readers of addresses leave out, makes it another."""
    url = (await service.improve())["result"]["imageUrl"]
    for address in (url.replace(".png", "%0a.png"), url.replace("/images/", "/images/%09")):
        assert [200, 404] == [(await http.get(each)).status_code for each in (url, address)]


async def test_a_picture_is_only_read(service: SketchService, http: httpx2.AsyncClient) -> None:
    """405, and what is allowed."""
    answer = await http.post(f"{service.url}/images/{NOBODY}.png")
    assert (405, "GET, HEAD, OPTIONS") == (answer.status_code, answer.headers["allow"])


async def test_job_and_status_hand_out_the_address(
    service: SketchService, raw: redis.asyncio.Redis, http: httpx2.AsyncClient
) -> None:
    """As every answer with a drawing does."""
    url = (await service.improve())["result"]["imageUrl"]
    await raw.delete(*await raw.keys(keys.image("*")))
    assert url == (await service.status(await service.submit()))["result"]["imageUrl"]
    assert 200 == (await http.get(url)).status_code


async def test_where_access_is_bound_the_address_is_signed(signing: SketchService, http: httpx2.AsyncClient) -> None:
    """It begins as PUBLIC_URL says, is kept by its browser alone, and another signature or time is refused."""
    url = (await signing.improve())["result"]["imageUrl"]
    path, _, query = url.removeprefix("https://draw.example").partition("?")
    exp, sig = (each.partition("=")[2] for each in query.split("&"))
    address = f"{signing.url}{path}"
    picture = await http.get(f"{address}?{query}")
    assert (200, "private, max-age=31536000, immutable") == (picture.status_code, picture.headers["cache-control"])
    assert url == (await signing.improve())["result"]["imageUrl"].replace(query, query)
    foreign = hashlib.sha256(b"").hexdigest()
    for wrong in (
        "",
        f"exp={int(exp) + 900}&sig={sig}",
        f"exp={exp}&sig={foreign}",
        f"sig={sig}",
        "exp=\u0661&sig=\u0661",
    ):
        refused = await http.get(f"{address}?{wrong}", headers={"if-none-match": picture.headers["etag"]})
        assert (403, "no-store") == (refused.status_code, refused.headers["cache-control"]), wrong


async def test_a_listed_origin_may_read_a_picture(signing: SketchService, http: httpx2.AsyncClient) -> None:
    """And no other; caches keep them apart."""
    for origin, allowed in (("https://pad.example", "https://pad.example"), ("https://evil.example", None)):
        answer = await http.get(f"{signing.url}/images/{NOBODY}.png", headers={"origin": origin})
        assert (allowed, "Origin") == (answer.headers.get("access-control-allow-origin"), answer.headers["vary"])


async def test_a_listed_origin_may_send_fields_of_its_own(signing: SketchService, http: httpx2.AsyncClient) -> None:
    """The preflight that `traceparent` costs is granted to it, and to no other, with a signature or without."""
    for origin, methods in (("https://pad.example", "GET, HEAD, OPTIONS"), ("https://evil.example", None)):
        asked = {"access-control-request-method": "GET", "access-control-request-headers": "traceparent"}
        answer = await http.options(f"{signing.url}/images/{NOBODY}.png", headers={"origin": origin, **asked})
        assert (204, b"", "Origin") == (answer.status_code, answer.content, answer.headers["vary"])
        assert methods == answer.headers.get("access-control-allow-methods")
        assert bool(methods) == ("traceparent" in answer.headers.get("access-control-allow-headers", ""))
        assert bool(methods) == (answer.headers.get("access-control-allow-origin") == origin)
    assert 404 == (await http.options(f"{signing.url}/images/other.png")).status_code


async def test_white_space_after_a_field_is_no_part_of_it(service: SketchService) -> None:
    """A star is a star; no client library would send it so."""
    url = urlsplit((await service.improve())["result"]["imageUrl"])
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(f"GET {url.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nIf-None-Match: * \t\r\n\r\n".encode())
    async with asyncio.timeout(WAIT_S):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 304 ")


async def test_the_host_of_an_address_is_a_host(service: SketchService) -> None:
    """A front end behind a proxy is told https; a name that is none is left out."""
    headers = {"host": "draw.example:8443", "x-forwarded-proto": "https"}
    url = (await service.improve(headers=headers))["result"]["imageUrl"]
    assert url.startswith("https://draw.example:8443/images/")
    odd = (await service.improve(headers={"host": "a@b/c?"}))["result"]["imageUrl"]
    assert odd.startswith("/images/")
