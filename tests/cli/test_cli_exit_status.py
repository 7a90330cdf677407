"""Every way to fail: its exit status, one clear sentence, no traceback, and the same told in JSON."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.failure import MEANINGS
from tests.cli.conftest import Cli, Service, http, listening
from tests.e2e.conftest import ROOT
from tests.servers import free_port, poll

UNKNOWN = "11111111-1111-4111-8111-111111111111"


def test_unreadable_sketch_is_refused(cli: Cli, tmp_path: Path, drawing: Path) -> None:
    """1: the service's own sentence, and its code in JSON."""
    (tmp_path / "words.png").write_text("these are words")
    ended = cli.run("improve", tmp_path / "words.png", "-o", drawing, "--json")
    assert 1 == ended.status
    assert ["BAD_INPUT", False] == [ended.json["problem"]["code"], ended.json["problem"]["retryable"]]
    assert ended.sentence == ended.json["error"] == ended.json["problem"]["message"]
    assert 1 == ended.json["exitStatus"]
    assert not drawing.exists()


def test_missing_sketch_is_blamed_though_the_drawing_exists(cli: Cli, tmp_path: Path, drawing: Path) -> None:
    """2: the file that is there is fit to be written over, and left as it is."""
    drawing.write_bytes(b"of before")
    ended = cli.run("improve", tmp_path / "none.png", "-o", drawing)
    assert [2, f"{tmp_path}/none.png cannot be read: no such file or directory."] == [ended.status, ended.sentence]
    assert b"of before" == drawing.read_bytes()


@pytest.mark.parametrize("way", [(), ("--watch",)])
def test_refused_content(cli: Cli, service: Service, sketch: Path, drawing: Path, way: tuple[str, ...]) -> None:
    """1: now or in the background."""
    service.plays(kind="refuse")
    ended = cli.run("improve", sketch, "-o", drawing, *way, "--json")
    assert [1, "CONTENT_REFUSED"] == [ended.status, ended.json["problem"]["code"]]


@pytest.mark.parametrize("way", [(), ("--watch",)])
def test_passing_fault(cli: Cli, service: Service, sketch: Path, drawing: Path, way: tuple[str, ...]) -> None:
    """3: the same command may succeed later."""
    service.plays(kind="no_image")
    ended = cli.run("improve", sketch, "-o", drawing, *way, "--json")
    assert [3, "NO_IMAGE", True] == [ended.status, ended.json["problem"]["code"], ended.json["problem"]["retryable"]]
    assert not drawing.exists()


@pytest.mark.parametrize("way", [(), ("--watch",)])
def test_unknown_request_id(cli: Cli, way: tuple[str, ...]) -> None:
    """5, at once."""
    ended = cli.run("status", UNKNOWN, *way)
    assert [5, f"Job {UNKNOWN} is unknown, or no longer kept."] == [ended.status, ended.sentence]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Missing command. See python -m cli --help."),
        (["draw"], "No such command 'draw'. See python -m cli --help."),
        (["improve", "{sketch}"], "Invalid value for --output: name the file in which to save the drawing. See"),
        (
            ["improve", "{sketch}", "-o", "{drawing}", "--variant", "-1"],
            "Invalid value for '--variant': Input",
        ),
        (["improve", "{folder}/none.png", "-o", "{drawing}"], "{folder}/none.png cannot be read: no such file or"),
        (["improve", "{folder}", "-o", "{drawing}"], "{folder} cannot be read: is a directory."),
        (["improve", "{sketch}", "-o", "{folder}"], "{folder} is a folder; name a file to save the drawing in."),
        (["improve", "{sketch}", "-o", "{folder}/no/d.png"], "{folder}/no/d.png cannot be saved: no such file"),
        (["improve", "{sketch}", "-o", "{sketch}"], "{sketch} is the sketch itself; save the drawing under another"),
        (["improve", "{sketch}", "-o", "{drawing}", "--svg", "{sketch}"], "{sketch} is not text in UTF-8."),
        (
            ["improve", "{sketch}", "-o", "{drawing}", "--key", "a\nb"],
            "The key has a character that is not printable ASCII",
        ),
        (["improve", "{sketch}", "-o", "{drawing}", "--endpoint", "ftp://x"], "The endpoint must look like http://127"),
        (["improve", "{sketch}", "-o", "x" * 300], "x" * 300 + " cannot be saved: file name too long."),
        (["improve", "{sketch}", "-o", "{drawing}", "--hints", "\udcff"], "The hints must be text in UTF-8."),
        (["status", "\udcff", "--watch"], "A request id must be text in UTF-8."),
        (["status", UNKNOWN, "--endpoint", "http://\udcff"], "The endpoint must look like http://127"),
        (["status", UNKNOWN, "-o", "{folder}/no/d.png"], "{folder}/no/d.png cannot be saved: no such file"),
    ],
)
def test_wrong_usage(
    cli: Cli, service: Service, sketch: Path, drawing: Path, arguments: list[str], sentence: str
) -> None:
    """2: found before anything is sent."""
    names = {"sketch": sketch, "drawing": drawing, "folder": sketch.parent}
    ended = cli.run(*(argument.format(**names) for argument in arguments))
    assert 2 == ended.status
    assert ended.sentence.startswith(sentence.format(**names))
    assert [1, ""] == [len(ended.err.splitlines()), ended.out]
    assert 0 == service.counts["count"]


def test_what_is_no_regular_file_is_not_replaced(cli: Cli, service: Service, sketch: Path, tmp_path: Path) -> None:
    """2, before anything is sent: a pipe, and what a symlink to one leads to, stay what they are."""
    pipe, link, loop = (tmp_path / name for name in ("pipe", "link", "loop"))
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    loop.symlink_to(loop)
    for target, sentence in (
        (pipe, f"{pipe} is not a regular file; name a regular or a new file to save the drawing in."),
        (link, f"{link} is not a regular file; name a regular or a new file to save the drawing in."),
        (loop, f"{loop} cannot be saved: too many levels of symbolic links."),
    ):
        ended = cli.run("improve", sketch, "-o", target)
        assert [2, sentence] == [ended.status, ended.sentence]
    assert [True, True, True] == [pipe.is_fifo(), link.is_symlink(), loop.is_symlink()]
    assert 0 == service.counts["count"]


@pytest.mark.parametrize("command", ["--help", "keys new a", "keys new a --json", "keys new a --expires x --json"])
@pytest.mark.parametrize("buffered", ["", "1"])
def test_standard_output_that_is_full(command: str, buffered: str) -> None:
    """2, in a sentence of its own, however Python writes."""
    ended = _in_shell(f"{command} > /dev/full", PYTHONUNBUFFERED=buffered)
    assert [2, "The output cannot be written: no space left on device."] == [
        ended.returncode,
        ended.stderr.splitlines()[-1],
    ]
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("command", "status", "told"),
    [
        ("keys new a >&-", 0, ""),
        ("keys new a 2>&-", 0, "key    rubydraw_"),
        ("keys new a 2> /dev/full", 0, "key    rubydraw_"),
        ("keys new a --expires x 2>&-", 2, ""),
        ("keys new a --expires x --json 2> /dev/full", 2, '{"exitStatus": 2'),
        ("draw 2>&-", 2, ""),
        ("draw 2> /dev/full", 2, ""),
        ("draw >&- 2>&-", 2, ""),
    ],
)
def test_output_that_nobody_wants(command: str, status: int, told: str) -> None:
    """What is closed, or takes no sentence, changes nothing else."""
    ended = _in_shell(command)
    assert [status, told, ""] == [ended.returncode, ended.stdout[: len(told)], ended.stderr]
    assert told or not ended.stdout


def _in_shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    line = f"{sys.executable} -m cli {command}"
    return subprocess.run(
        line, shell=True, cwd=ROOT, env=Cli().environment | environment, capture_output=True, text=True
    )


def test_file_that_is_too_large(cli: Cli, tmp_path: Path, drawing: Path) -> None:
    """2: it is not even sent."""
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(10**12)
    ended = cli.run("improve", tmp_path / "huge.png", "-o", drawing)
    assert [2, True] == [ended.status, "is larger than 20 MiB" in ended.sentence]


def test_drawing_that_cannot_be_saved(cli: Cli, service: Service, sketch: Path) -> None:
    """2: the service has done its part, and the sentence says why the file is not there."""
    folder = sketch.parent / "folder"
    folder.mkdir()
    service.plays(kind="hold")
    process = cli.start("improve", sketch, "-o", folder / "d.png")
    poll(lambda: service.counts["waiting"] == 1, "the call is not begun")
    folder.rmdir()
    service.release()
    _, err = process.communicate()
    assert 2 == process.returncode
    assert f"{folder}/d.png cannot be saved: no such file or directory." == err.splitlines()[-1]


@pytest.mark.parametrize("way", [(), ("--watch",)])
def test_nobody_at_the_endpoint(cli: Cli, sketch: Path, drawing: Path, way: tuple[str, ...]) -> None:
    """4: the address is told, without user, password and query."""
    port = free_port()
    url = f"http://someone:secret@127.0.0.1:{port}/graphql?key=secret"
    ended = cli.run("improve", sketch, "-o", drawing, *way, "--endpoint", url)
    assert [4, f"Nothing answers at http://127.0.0.1:{port}/graphql; is it running?"] == [ended.status, ended.sentence]
    assert "secret" not in ended.err
    assert 4 == cli.run("status", UNKNOWN, *way, "--endpoint", url).status


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example"])
def test_what_is_no_name_of_a_host(host: str) -> None:
    """4: there can be nobody."""
    ended = Cli().run("status", UNKNOWN, "--endpoint", f"http://{host}/")
    assert [4, f"Nothing answers at http://{host}/; is it running?"] == [ended.status, ended.sentence]


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:{port}", "socks5://127.0.0.1:{port}", "odd://proxy"])
def test_no_proxy_is_asked_for_this_machine(cli: Cli, service: Service, proxy: str) -> None:
    """It would look for the endpoint on its own machine, and need not even be there."""
    named = proxy.format(port=free_port())
    assert 5 == cli.run("status", UNKNOWN, ALL_PROXY=named, SSL_CERT_FILE="/no/certificates").status


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1080", "The environment's HTTP_PROXY, HTTPS_PROXY and ALL_PROXY must look"),
        ("http_proxy", "odd://someone:secret@proxy", "The environment's HTTP_PROXY, HTTPS_PROXY and ALL_PROXY must"),
        ("https_proxy", "http://proxy:secret", "The environment's HTTP_PROXY, HTTPS_PROXY and ALL_PROXY must look"),
        ("SSL_CERT_FILE", "/no/certificates", "SSL_CERT_FILE and SSL_CERT_DIR must name certificates"),
        ("SSL_CERT_FILE", "/dev/null", "SSL_CERT_FILE and SSL_CERT_DIR must name certificates"),
    ],
)
def test_environment_that_cannot_be_used(name: str, value: str, sentence: str) -> None:
    """2, before anything is sent: one sentence, without what may hold a password, and in JSON."""
    ended = Cli().run("status", UNKNOWN, "--endpoint", "https://endpoint.invalid/", "--json", **{name: value})
    assert [2, ended.sentence] == [ended.status, ended.json["error"]]
    assert ended.sentence.startswith(sentence)
    assert [1, False] == [len(ended.err.splitlines()), "secret" in ended.err]


@pytest.mark.parametrize(
    "answer",
    [
        http("200 OK", b"<html>hello</html>", "text/html"),
        http("200 OK", b'{"hello": "world"}'),
        http("200 OK", b'["hello"]'),
        http("200 OK", b'{"data": {"improveSketchStatus": {"status": "well"}}}'),
        http("404 Not Found", b'{"errors": [{"message": "There is nothing here."}]}'),
        http("301 Moved Permanently", b"", "text/plain", "location: https://elsewhere.example/"),
        b"-ERR unknown command\r\n",
        b"",
    ],
)
def test_something_else_at_the_endpoint(answer: bytes) -> None:
    """4: whatever it says, it is one sentence."""
    with listening(answer) as url:
        ended = Cli().run("status", UNKNOWN, "--endpoint", url, "--json")
    assert [4, 4] == [ended.status, ended.json["exitStatus"]]
    assert url in ended.sentence
    assert 1 == len(ended.err.splitlines())


@pytest.mark.parametrize(
    ("answer", "status", "sentence"),
    [
        (http("401 Unauthorized", b"no"), 1, "{url} requires a key; give it with --key or RUBYDRAW_KEY."),
        (http("403 Forbidden", b"no"), 1, "{url} does not accept this key."),
        (http("413 Too Large", b""), 1, "The sketch is larger than the endpoint accepts."),
        (http("429 Too Many", b'{"errors": [{"message": "Slowly."}]}'), 3, "Slowly."),
        (http("502 Bad Gateway", b"<html>", "text/html"), 3, "{url} failed to answer (status 502); try again."),
        (
            http("200 OK", b'{"errors": [{"message": "Cannot query field \\"attempt\\"."}]}'),
            1,
            'The endpoint does not accept this request: Cannot query field "attempt".',
        ),
        (
            http("200 OK", b'{"data": null, "errors": [{"message": "Away\\u001b[2J.", "extensions": {"code": "X"}}]}'),
            3,
            "Away[2J.",
        ),
    ],
)
def test_answers_of_an_endpoint_in_trouble(answer: bytes, status: int, sentence: str) -> None:
    """1 or 3; nothing that it says reaches the terminal's controls."""
    with listening(answer) as url:
        ended = Cli().run("status", UNKNOWN, "--endpoint", url)
        assert [status, sentence.format(url=url)] == [ended.status, ended.sentence]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_while_following(
    cli: Cli, service: Service, sketch: Path, drawing: Path, number: signal.Signals, status: int
) -> None:
    """130 or 143: the request id is told, and following the job with it gets the drawing."""
    service.plays(kind="hold")
    process = cli.start("improve", sketch, "-o", drawing, "--watch", "--json")
    poll(lambda: service.counts["waiting"] == 1, "the job is not begun")
    process.send_signal(number)
    out, err = process.communicate()
    told = json.loads(out)
    assert [status, status] == [process.returncode, told["exitStatus"]]
    assert "Traceback" not in err
    request_id = told["requestId"]
    _, _, follow_up = err.splitlines()[-1].partition("`python -m cli ")
    assert follow_up.startswith(f"status {request_id} --watch ")
    service.clear()
    assert 0 == cli.run(*shlex.split(follow_up.removesuffix("`.")), RUBYDRAW_ENDPOINT="").status
    assert drawing.exists()


def test_interrupted_while_waiting(cli: Cli, service: Service, sketch: Path, drawing: Path) -> None:
    """130: without a request id, the same sketch sent again fetches the drawing that was begun."""
    service.plays(kind="hold")
    process = cli.start("improve", sketch, "-o", drawing)
    poll(lambda: service.counts["waiting"] == 1, "the call is not begun")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert [
        130,
        "Interrupted; a drawing that was begun is finished and kept: send the same sketch again to get it.",
    ] == [
        process.returncode,
        err.splitlines()[-1],
    ]
    service.release()
    assert 0 == cli.run("improve", sketch, "-o", drawing).status
    assert 1 == service.counts["count"]


def test_every_status_is_documented(cli: Cli) -> None:
    """In the help of each command, and on the page."""
    page = (ROOT / "docs" / "cli.md").read_text()
    assert [] == [status for status, meaning in MEANINGS.items() if f"| {status.value} | {meaning} |" not in page]
    for command in ((), ("improve",), ("status",), ("check-env",)):
        told = cli.run(*command, "--help").out
        assert [] == [status for status, meaning in MEANINGS.items() if f"{status.value}  {meaning}" not in told]
