"""`check-env` in good and bad environments: what is listed, what is asked, and what is never shown."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import redis.asyncio

from cli.probes import WRITES_NOTHING
from tests import servers
from tests.cli.conftest import Cli, Ended, http, listening
from tests.contract.accounts import account_file
from tests.contract.object_stores import BUCKET, S3
from tests.e2e.conftest import ROOT
from tests.servers import free_port
from tests.stand_ins import DEAD_LETTER_TOPIC, TOPIC, GeminiStandIn, PubsubStandIn


@pytest.fixture
def settings(
    environment: dict[str, str],
    raw: redis.asyncio.Redis,
    gemini_stand_in: GeminiStandIn,
    pubsub_stand_in: PubsubStandIn,
) -> Cli:
    """Commands in the environment of a function whose stand-ins are all there, and Valkey set up as ever."""
    return Cli(**environment)


def rows(ended: Ended) -> dict[str, str]:
    """State and words of each line, by its name."""
    found = re.findall(r"^(\S.*?) {1,}(set|default|missing|ok|failed|off) *(.*)$", ended.out, re.MULTILINE)
    return {name: f"{state} {words}".strip() for name, state, words in found}


async def test_all_is_well(
    settings: Cli, gemini_stand_in: GeminiStandIn, http: httpx2.AsyncClient, raw: redis.asyncio.Redis
) -> None:
    """0: each setting and each answer has its line; nothing was written, and no call made that anyone would pay for."""
    ended = settings.run("check-env")
    assert [0, "", "All is well."] == [ended.status, ended.err, ended.out.splitlines()[-1]]
    told = rows(ended)
    assert re.fullmatch(r"ok Valkey 9\S+ at 127.0.0.1:\d+ as master, volatile-lru", told["Redis"])
    assert [f"ok {TOPIC}", f"ok {DEAD_LETTER_TOPIC}"] == [told["Topic"], told["Dead-letter topic"]]
    assert "ok knows gemini-3.1-flash-image (api)" == told["Gemini"]
    assert ["set (secret)", "default global"] == [told["GEMINI_API_KEY"], told["GEMINI_LOCATION"]]
    assert 0 == (await http.get(f"{gemini_stand_in.url}/calls")).json()["count"]
    assert 0 == await raw.exists(*WRITES_NOTHING[1:2])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--replicaof 127.0.0.1 1", "is a replica, but the functions write; name its primary"),
        ("--maxmemory 1 --maxmemory-policy noeviction", "is full: it takes no writes"),
        ("--min-replicas-to-write 1", "takes no writes (NOREPLICAS)"),
        (
            "--cluster-enabled yes --cluster-port {port} --cluster-config-file {folder}/nodes.conf",
            "is a node of a cluster; the functions need one Redis that has all keys",
        ),
    ],
    ids=["replica", "full", "alone", "cluster"],
)
def test_redis_that_is_of_no_use(settings: Cli, tmp_path: Path, options: str, words: str) -> None:
    """1: it answers, and the functions could not work with it."""
    with contextmanager(servers.a_valkey)(*options.format(port=free_port(), folder=tmp_path).split()) as server:
        ended = settings.run("check-env", REDIS_URL=f"redis://127.0.0.1:{server.port}/0")
    assert (1, "These checks failed: Redis.") == (ended.status, ended.sentence)
    assert f"failed 127.0.0.1:{server.port} {words}" == rows(ended)["Redis"]


async def test_secrets_are_masked(settings: Cli) -> None:
    """Keys and passwords appear in no line, neither of a good environment nor of a bad one."""
    secrets = {"REDIS_URL": f"redis://u:canary@127.0.0.1:{free_port()}/0", "GEMINI_API_KEY": "canary"}
    for environment in (secrets, {**secrets, "CACHE_REDIS_URL": "canary"}):
        for form in ((), ("--json",)):
            ended = settings.run("check-env", *form, **environment)
            assert 1 == ended.status
            assert "canary" not in ended.out + ended.err


async def test_missing_settings(settings: Cli) -> None:
    """1: all that is missing is in the sentence, and nothing is asked."""
    ended = Cli().run("check-env")
    assert 1 == ended.status
    assert rows(ended)["REDIS_URL"].startswith("missing")
    assert ended.sentence.startswith("Settings that cannot be used: REDIS_URL is missing")
    assert ended.sentence.endswith(". No service was asked.")
    unusable = settings.run("check-env", LEASE_MS="soon", GEMINI_API_KEY="", PUBSUB_TOPIC="jobs")
    assert unusable.sentence.startswith("Settings that cannot be used: PUBSUB_TOPIC must ")
    assert "LEASE_MS must " in unusable.sentence


async def test_each_fault_has_its_words(settings: Cli, gemini_stand_in: GeminiStandIn) -> None:
    """1: everything is asked, whatever failed before it, and the sentence names what failed."""
    port = free_port()
    bad = {
        "REDIS_URL": f"redis://127.0.0.1:{port}/0",
        "PUBSUB_TOPIC": "projects/test/topics/none",
        "DEAD_LETTER_TOPIC": "",
    }
    await gemini_stand_in.fail("status", status=404)
    ended = settings.run("check-env", **bad)
    told = rows(ended)
    assert [1, "These checks failed: Redis, Topic, Gemini."] == [ended.status, ended.sentence]
    assert f"failed 127.0.0.1:{port} does not answer, or does not accept the user and password" == told["Redis"]
    assert "failed projects/test/topics/none does not exist" == told["Topic"]
    assert "off not set: jobs that were given up are only logged" == told["Dead-letter topic"]
    assert "failed does not know the model gemini-3.1-flash-image" == told["Gemini"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (403, "failed does not accept the key or the credentials (status 403)"),
        (429, "failed refuses calls for now (status 429)"),
        (500, "failed answers status 500"),
    ],
)
async def test_gemini_refuses(settings: Cli, gemini_stand_in: GeminiStandIn, fault: int, words: str) -> None:
    """1: each status in words of ours."""
    await gemini_stand_in.fail("status", status=fault)
    assert words == rows(settings.run("check-env"))["Gemini"]


async def test_wrong_addresses(settings: Cli, pubsub_stand_in: PubsubStandIn) -> None:
    """1: nobody there, something else there, and nobody who vouches for us."""
    nobody = f"http://127.0.0.1:{free_port()}"
    told = rows(settings.run("check-env", GEMINI_BASE_URL=nobody, PUBSUB_URL=nobody))
    assert "failed does not answer" == told["Gemini"]
    assert f"failed {nobody.removeprefix('http://')} does not answer" == told["Topic"]
    other = rows(settings.run("check-env", GEMINI_BASE_URL=pubsub_stand_in.url))
    assert "failed something else answers at GEMINI_BASE_URL" == other["Gemini"]


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"", b"{}", b"[]", b'{"name": ""}'])
def test_something_else_answers_well(settings: Cli, body: bytes) -> None:
    """1: whoever says 200 to everything is neither Pub/Sub nor Gemini."""
    with listening(http("200 OK", body)) as url:
        address = url.removesuffix("/graphql")
        told = rows(settings.run("check-env", PUBSUB_URL=address, GEMINI_BASE_URL=address))
    other = f"failed what answers at {address.removeprefix('http://')} is not Pub/Sub"
    assert [other, other] == [told["Topic"], told["Dead-letter topic"]]
    assert "failed something else answers at GEMINI_BASE_URL" == told["Gemini"]


def test_archive_may_be_read(settings: Cli, s3_server: S3, tmp_path: Path) -> None:
    """0: in a bucket or a folder, and nothing is in it afterwards."""
    s3_server.empty()
    bucket = {"ARCHIVE_URL": f"s3://{BUCKET}/one", "ARCHIVE_ENDPOINT": s3_server.url, **s3_server.credentials}
    ended = settings.run("check-env", **bucket)
    assert (0, f"ok s3://{BUCKET}/one may be read") == (ended.status, rows(ended)["Archive"])
    assert [] == s3_server.keys()
    ended = settings.run("check-env", ARCHIVE_URL=f"file://{tmp_path}")
    assert (0, f"ok file://{tmp_path} may be read") == (ended.status, rows(ended)["Archive"])
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"ARCHIVE_URL": "s3://nowhere"}, "s3://nowhere does not exist, or may not be listed"),
        ({"AWS_SECRET_ACCESS_KEY": "canary"}, f"these credentials may not read s3://{BUCKET}"),
        (
            {"ARCHIVE_ENDPOINT": f"http://127.0.0.1:{free_port()}"},
            f"s3://{BUCKET} cannot be reached, or there are no credentials for it here",
        ),
    ],
    ids=["no bucket", "wrong key", "nobody there"],
)
def test_archive_may_not_be_read(settings: Cli, s3_server: S3, bad: dict[str, str], words: str) -> None:
    """1: the functions would go on without it, and pay for what it has."""
    good = {"ARCHIVE_URL": f"s3://{BUCKET}", "ARCHIVE_ENDPOINT": s3_server.url, **s3_server.credentials}
    ended = settings.run("check-env", **{**good, **bad})
    assert (1, "These checks failed: Archive.") == (ended.status, ended.sentence)
    assert f"failed {words}" == rows(ended)["Archive"]
    assert "canary" not in ended.out + ended.err


async def test_no_credentials(settings: Cli, tmp_path: Path) -> None:
    """1: Vertex without ambient credentials is told as that."""
    nowhere = {"HOME": str(tmp_path), "NO_GCE_CHECK": "true", "GEMINI_MODE": "vertex", "GEMINI_PROJECT": "p"}
    assert rows(settings.run("check-env", **nowhere))["Gemini"].startswith("failed no Google credentials here")


def test_only_commands_for_operators_need_the_product() -> None:
    """The other commands know the API alone."""
    code = "import cli.main, sys; print({name.partition('.')[0] for name in sys.modules} & {'rubydraw', 'emulator'})"
    assert "set()\n" == subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout


def test_token_server_that_is_away(settings: Cli, tmp_path: Path) -> None:
    """1, or 3 from dead-letters: nothing that is set is wrong."""
    account = account_file(tmp_path, f"http://127.0.0.1:{free_port()}/token")
    far = {"GOOGLE_APPLICATION_CREDENTIALS": str(account), "PUBSUB_URL": f"https://127.0.0.1:{free_port()}"}
    assert "failed Google gives no access token now" == rows(settings.run("check-env", **far))["Topic"]
    ended = settings.run("dead-letters", "list", **far)
    assert [3, "Google gives no access token now; try again."] == [ended.status, ended.sentence]


async def test_json(settings: Cli) -> None:
    """One object: every setting, every check."""
    told = settings.run("check-env", "--json").json
    assert 0 == told["exitStatus"]
    assert {"set", "default"} == {row["state"] for row in told["settings"]}
    assert [("Redis", "ok"), ("Archive", "off"), ("Topic", "ok"), ("Dead-letter topic", "ok"), ("Gemini", "ok")] == [
        (row["name"], row["state"]) for row in told["checks"]
    ]
