"""`dead-letters` against the Pub/Sub stand-in: what is shown, what is replayed, and that no letter is lost."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import httpx2
import pytest
import redis.asyncio
import typer
from rubydraw import keys
from rubydraw.jobs.message import JobMessage
from rubydraw.sketch import Sketch

from cli.main import app
from cli.retained import HAND_BACK_AT_ONCE
from tests.cli.conftest import Cli, Ended, listening
from tests.cli.conftest import http as answer
from tests.redis_proxy import RedisProxy
from tests.servers import WAIT_S, Server, free_port
from tests.sketches import HOUR_MS, TRACEPARENT, job, now_ms, sketch
from tests.stand_ins import DEAD_LETTER_TOPIC, TOPIC, PubsubStandIn
from tests.unit.pngs import chunk, file, ihdr

SUBSCRIPTION = DEAD_LETTER_TOPIC.replace("/topics/", "/subscriptions/")
GIVEN_UP = {"code": "PROVIDER_FAILED", "delivery_attempt": "3", "given_up_at": "1795446000123"}
UNDELIVERED = {
    "CloudPubSubDeadLetterSourceDeliveryCount": "20",
    "CloudPubSubDeadLetterSourceSubscription": "jobs",
    "CloudPubSubDeadLetterSourceSubscriptionProject": "test-project",
    "CloudPubSubDeadLetterSourceTopicPublishTime": "2026-11-24T10:00:00Z",
}


class Letters:
    """The dead-letter topic, as the worker and Pub/Sub fill it and nobody but the command empties it."""

    def __init__(self, http: httpx2.AsyncClient, url: str, raw: redis.asyncio.Redis) -> None:
        self._http, self._url, self._raw = http, url, raw

    async def put(self, data: bytes, attributes: Mapping[str, str], *, copies: int = 1) -> str:
        """Publish a letter; return its message id."""
        message = {"data": base64.b64encode(data).decode(), "attributes": dict(attributes)}
        body = {"messages": [message] * copies}
        answer = await self._http.post(f"{self._url}/v1/{DEAD_LETTER_TOPIC}:publish", json=body)
        return str(answer.raise_for_status().json()["messageIds"][0])

    async def given_up(self, *jobs: JobMessage, attributes: Mapping[str, str] = GIVEN_UP, copies: int = 1) -> None:
        """Jobs that are an error, with their letters."""
        for each in jobs:
            await self.put(each.data(), {**each.attributes(), **attributes}, copies=copies)
            await self.mark(each, status="error", attempt=3, generation=each.generation, created_at=each.created_at_ms)

    async def mark(self, job: JobMessage, **fields: Any) -> None:
        """Set fields of the job's record."""
        await self._raw.hset(keys.status(job.request_id), mapping=dict[Any, Any](fields))

    async def expire_after(self, seconds: int) -> None:
        """Make the subscription anew: what is pulled from it comes back after so long."""
        address = f"{self._url}/v1/{SUBSCRIPTION}"
        await self._http.delete(address)
        body = {"topic": DEAD_LETTER_TOPIC, "ackDeadlineSeconds": seconds}
        (await self._http.put(address, json=body)).raise_for_status()

    async def count(self) -> int:
        """How many there are to be pulled, copies too; then they are out of sight."""
        body = {"maxMessages": 1000, "returnImmediately": True}
        answer = await self._http.post(f"{self._url}/v1/{SUBSCRIPTION}:pull", json=body)
        return len(answer.raise_for_status().json().get("receivedMessages", []))


@pytest.fixture
def letters(http: httpx2.AsyncClient, pubsub_stand_in: PubsubStandIn, raw: redis.asyncio.Redis) -> Letters:
    return Letters(http, pubsub_stand_in.url, raw)


class Operator:
    """Runs the commands here, in a thread of their own: a process for each would take a second."""

    def __init__(self, printed: pytest.CaptureFixture[str]) -> None:
        self._printed = printed

    async def run(self, *arguments: str) -> Ended:
        self._printed.readouterr()
        status = await asyncio.to_thread(app, ["dead-letters", *arguments], standalone_mode=False)
        return Ended(status, *self._printed.readouterr())


@pytest.fixture
def operator(
    environment: dict[str, str],
    letters: Letters,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Operator:
    """Commands with the few settings that these need."""
    for name in ("REDIS_URL", "PUBSUB_URL", "PUBSUB_TOPIC", "DEAD_LETTER_TOPIC"):
        monkeypatch.setenv(name, environment[name])
    return Operator(capsys)


async def queued(pubsub_stand_in: PubsubStandIn) -> list[str]:
    """The ids of the jobs that were handed over since the last look."""
    ids = []
    while pulled := await pubsub_stand_in.pulled():
        ids += [attributes["request_id"] for _, attributes in pulled]
    return ids


async def test_list_and_show_tell_everything_but_the_sketch(operator: Operator, letters: Letters) -> None:
    """Copies are one; what Pub/Sub itself gave up and what is no job are listed too; and all are still there."""
    first, second = job(sketch=sketch(hints="a canary")), job(generation=2)
    await letters.given_up(first, copies=2)
    await letters.given_up(second, attributes=UNDELIVERED)
    malformed = await letters.put(b"canary", {"request_id": "*", "code": "MALFORMED", "delivery_attempt": "1"})
    ended = await operator.run("list")
    assert (0, "", "3 dead letters.") == (ended.status, ended.err, ended.out.splitlines()[-1])
    assert [(first.request_id, "PROVIDER_FAILED"), (second.request_id, "UNDELIVERED"), (malformed, "MALFORMED")] == [
        (line.split()[0], line.split()[2]) for line in ended.out.splitlines()[:-1]
    ]
    [shown] = (await operator.run("show", first.request_id, "--json")).json["letters"]
    assert ("2026-11-23T15:00:00.123Z", 3, 0, TRACEPARENT, len(first.data()), 8) == tuple(
        shown[name]
        for name in ("givenUpAt", "deliveryAttempt", "generation", "traceparent", "dataBytes", "hintsCharacters")
    )
    unreadable = await operator.run("show", malformed)
    assert "unreadable       the attribute request_id is not a request id\n" in unreadable.out
    assert "canary" not in ended.out + str(shown) + unreadable.out
    assert 4 == await letters.count()


async def test_replay_hands_over_the_job_as_it_was(
    operator: Operator, letters: Letters, pubsub_stand_in: PubsubStandIn, raw: redis.asyncio.Redis
) -> None:
    """One generation on, under its id and its trace, once for all copies of its letter; the others are kept."""
    first, second = job(), job()
    await letters.given_up(first, copies=3)
    await letters.given_up(second)
    ended = await operator.run("replay", first.request_id)
    assert (0, "1 job queued again.") == (ended.status, ended.out.splitlines()[-1])
    [(data, attributes)] = await pubsub_stand_in.pulled()
    replayed_at = attributes.pop("replayed_at")
    assert (first.data(), {**first.attributes(), "generation": "1"}) == (data, attributes)
    assert abs(now_ms() - int(replayed_at)) < 30_000
    status, attempt = await raw.hmget(keys.status(first.request_id), "status", "attempt")
    assert (b"queued", b"0") == (status, attempt)
    [left] = (await operator.run("list", "--json")).json["letters"]
    assert second.request_id == left["id"]


async def test_letters_are_read_whatever_the_operators_shell_says_of_sketches(
    operator: Operator, letters: Letters, pubsub_stand_in: PubsubStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The functions may take larger ones than MAX_PNG_BYTES there, or by default, allows; the worker checks anyway."""
    picture = file(ihdr(), chunk(b"IDAT", bytes(2_000)), chunk(b"IEND"))
    large = job(sketch=Sketch.from_png(picture, "", "", 0, max_png_bytes=len(picture)))
    await letters.given_up(large)
    monkeypatch.setenv("MAX_PNG_BYTES", "1024")
    [shown] = (await operator.run("show", large.request_id, "--json")).json["letters"]
    assert len(picture) == shown["pngBytes"]
    assert 0 == (await operator.run("replay", "--all")).status
    assert [large.request_id] == await queued(pubsub_stand_in)


@pytest.mark.parametrize(("recorded", "left"), [(1, 0), (0, 1)], ids=["older letter", "given up meanwhile"])
async def test_job_is_replayed_once_by_one_command(
    operator: Operator, letters: Letters, pubsub_stand_in: PubsubStandIn, recorded: int, left: int
) -> None:
    """All its older letters go with it; the one of a job that failed again at once is kept, else it would never end."""
    given_up = job()
    await letters.given_up(given_up, replace(given_up, generation=1))
    await letters.mark(given_up, generation=recorded)
    assert 0 == (await operator.run("replay", given_up.request_id)).status
    [(_, attributes)] = await pubsub_stand_in.pulled()
    assert (str(recorded + 1), left) == (attributes["generation"], await letters.count())


async def test_replay_of_all_can_be_narrowed_to_one_code(
    operator: Operator, letters: Letters, pubsub_stand_in: PubsubStandIn
) -> None:
    """What is no job is refused in one sentence and kept; what is done already is cleared away."""
    failed, undelivered, done = [job() for _ in range(3)]
    await letters.given_up(failed)
    await letters.given_up(undelivered, done, attributes=UNDELIVERED)
    await letters.put(b"", {"request_id": "*", "code": "MALFORMED"})
    await letters.mark(done, status="done")
    told = (await operator.run("replay", "--all", "--code", "UNDELIVERED", "--json")).json
    assert ([undelivered.request_id], [done.request_id]) == (told["queued"], told["done"])
    ended = await operator.run("replay", "--all")
    assert 1 == ended.status
    assert re.fullmatch(r"\d+ cannot be read as a job \(.*\): show it, or drop it\.", ended.sentence)
    assert {undelivered.request_id, failed.request_id} == set(await queued(pubsub_stand_in))
    assert ["MALFORMED"] == [each["code"] for each in (await operator.run("list", "--json")).json["letters"]]


async def test_refused_publish_keeps_the_letter_and_the_next_replay_makes_up_for_it(
    operator: Operator, letters: Letters, pubsub_stand_in: PubsubStandIn
) -> None:
    """The job was queued but not handed over; replayed again it keeps its generation, and is handed over."""
    given_up = job()
    await letters.given_up(given_up)
    await pubsub_stand_in.fail("refuse_publish", status=403)
    ended = await operator.run("replay", given_up.request_id)
    assert (1, f"{TOPIC} does not accept messages from here; {given_up.request_id} is kept.") == (
        ended.status,
        ended.sentence,
    )
    assert [] == await queued(pubsub_stand_in)
    assert 0 == (await operator.run("replay", given_up.request_id)).status
    [(_, attributes)] = await pubsub_stand_in.pulled()
    assert "1" == attributes["generation"]


async def test_job_that_a_worker_holds_is_kept(operator: Operator, letters: Letters) -> None:
    """3: it may be done in a moment."""
    held = job()
    await letters.given_up(held)
    await letters.mark(held, status="running", lease_until_ms=now_ms() + HOUR_MS)
    ended = await operator.run("replay", held.request_id)
    assert (3, f"A worker holds {held.request_id} now; replay again later.") == (
        ended.status, ended.sentence,
    )  # fmt: skip
    assert 1 == await letters.count()


async def test_drop_forgets_all_copies(operator: Operator, letters: Letters) -> None:
    """By the id of the request, or of the message where there is none; 5 where there is no such letter."""
    dropped = job()
    await letters.given_up(dropped, copies=2)
    malformed = await letters.put(b"", {"code": "MALFORMED"})
    ended = await operator.run("drop", dropped.request_id, malformed, "nothing")
    assert (5, "There is no dead letter of 'nothing', or another command holds it now.") == (
        ended.status,
        ended.sentence,
    )
    assert 0 == await letters.count()


async def test_each_fault_has_its_sentence(
    operator: Operator, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost, and the exit status says who can do something about it."""
    given_up, place = job(), f"127.0.0.1:{free_port()}"
    await letters.given_up(given_up)
    for name, value, status, sentence in (
        ("PUBSUB_URL", f"http://{place}", 4, f"Pub/Sub at {place} does not answer."),
        ("DEAD_LETTER_TOPIC", "projects/p/topics/other", 1, "The subscription projects/p/subscriptions/other does not"),
        (
            "REDIS_URL",
            f"redis://{place}/0",
            3,
            f"Redis does not answer; {given_up.request_id} and the letters after it",
        ),
        ("PUBSUB_TOPIC", "", 1, "Settings that are missing: PUBSUB_TOPIC. No service was asked."),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            ended = await operator.run("replay", "--all")
        assert (status, True) == (ended.status, ended.sentence.startswith(sentence))
    assert 1 == await letters.count()


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"<html>hello</html>",
            b"",
            b"[]",
            b"null",
            b'{"receivedMessages": {}}',
            b'{"receivedMessages": [{"ackId": "a"}]}',
        ),
        *(
            b'{"receivedMessages": [{"ackId": "a", "message": {"messageId": "1", %b}}]}' % field
            for field in (b'"data": "%"', b'"attributes": []', b'"attributes": {"code": 1}', b'"publishTime": 1')
        ),
    ],
)
@pytest.mark.parametrize("command", [("list",), ("replay", "--all")], ids=" ".join)
async def test_something_else_answers_as_pubsub(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, body: bytes, command: tuple[str, ...]
) -> None:
    """4: whatever it says, it is one sentence."""
    with listening(answer("200 OK", body)) as url:
        address = url.removesuffix("/graphql")
        monkeypatch.setenv("PUBSUB_URL", address)
        ended = await operator.run(*command)
    assert (4, f"What answers at {address.removeprefix('http://')} is not Pub/Sub.") == (ended.status, ended.sentence)


@pytest.mark.parametrize("arguments", [(), ("--all", "an-id"), ("--code", "EXPIRED")], ids=" ".join)
async def test_replay_wants_ids_or_all(operator: Operator, arguments: tuple[str, ...]) -> None:
    """One or the other, and a code with all only."""
    with pytest.raises(typer.BadParameter, match="name letters, or use --all, with or without --code"):
        await operator.run("replay", *arguments)


@pytest.fixture
def redis_proxy(valkey: Server) -> Iterator[RedisProxy]:
    """A way to Redis that goes wrong as a test wants."""
    proxy = RedisProxy(valkey.port)
    with proxy.listening():
        yield proxy


async def test_killed_replay_of_many_loses_no_letter(
    operator: Operator,
    letters: Letters,
    pubsub_stand_in: PubsubStandIn,
    environment: dict[str, str],
    redis_proxy: RedisProxy,
) -> None:
    """What it had handed over is queued, the rest comes back after the ack deadline, and a second run does that."""
    await letters.expire_after(1)
    jobs = [job(created_at_ms=now_ms() - 48 * HOUR_MS) for _ in range(60)]
    await asyncio.gather(*(letters.put(each.data(), each.attributes() | GIVEN_UP) for each in jobs))
    redis_proxy.fail("delay", "replay", times=30, seconds=0)
    redis_proxy.fail("hold", "replay", times=1000)  # so that it never comes to its end
    killed = Cli(**environment | {"REDIS_URL": redis_proxy.url}).start("dead-letters", "replay", "--all")
    handed_over: list[str] = []
    async with asyncio.timeout(WAIT_S):
        while len(handed_over) < 20:
            handed_over += await queued(pubsub_stand_in)
    killed.kill()
    killed.communicate()
    handed_over += await queued(pubsub_stand_in)
    assert len(handed_over) < len(jobs)

    async with asyncio.timeout(WAIT_S):
        while len(told := (await operator.run("list", "--json")).json["letters"]) < len(jobs) - len(handed_over):
            pass
    assert {each.request_id for each in jobs} == {each["id"] for each in told} | set(handed_over)
    assert 0 == (await operator.run("replay", "--all")).status
    handed_over += await queued(pubsub_stand_in)
    assert {each.request_id for each in jobs} == set(handed_over)
    assert "No dead letters.\n" == (await operator.run("list")).out


async def test_a_command_hands_back_however_many_it_has_looked_at(operator: Operator, letters: Letters) -> None:
    """More than one request takes: the next command sees them all at once, not after the ack deadline."""
    count = HAND_BACK_AT_ONCE + 1
    await letters.expire_after(600)
    await letters.put(b"", {"request_id": "*"}, copies=count)
    assert (await operator.run("list")).out.endswith(f"{count} dead letters.\n")
    assert count == await letters.count()


@pytest.mark.parametrize("number", ["\u00b2", "9" * 40])
async def test_a_letter_of_anybodys_hides_no_other(operator: Operator, letters: Letters, number: str) -> None:
    """What looks like a number and is none, or none of ours, is left out."""
    await letters.put(b"", {"request_id": "*", "given_up_at": number, "created_at": number, "generation": number})
    ended = await operator.run("list")
    assert (0, "1 dead letter.") == (ended.status, ended.out.splitlines()[-1])
