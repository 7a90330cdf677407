"""`improve` and `status` as a person or a script uses them: pictures in files, words on the right stream."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.cli.conftest import PNG, Cli, Service
from tests.servers import poll

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_drawing_is_saved(cli: Cli, sketch: Path, drawing: Path) -> None:
    """It is a PNG with ordinary rights, nothing lies beside it, and standard output says where it is."""
    ended = cli.run("improve", sketch, "-o", drawing)
    assert 0 == ended.status, ended.err
    assert drawing.read_bytes().startswith(PNG)
    assert drawing.stat().st_mode == sketch.stat().st_mode
    assert sorted(path.name for path in drawing.parent.iterdir()) == ["drawing.png", "sketch.png"]
    assert ended.out.splitlines()[0] == f"{drawing}: Redrawn sketch"
    assert ended.out.splitlines()[1].startswith("  newly drawn, ")
    [told] = ended.err.splitlines()
    assert re.fullmatch(r"drawing  [0-9]+\.[0-9] s", told)


def test_same_sketch_again_costs_nothing(cli: Cli, service: Service, sketch: Path, drawing: Path) -> None:
    """The second answer was drawn before, and replaces the file."""
    cli.run("improve", sketch, "-o", drawing)
    first = drawing.read_bytes()
    drawing.write_bytes(b"something else")
    ended = cli.run("improve", sketch, "-o", drawing)
    assert ended.out.splitlines()[1].startswith("  drawn before, ")
    assert first == drawing.read_bytes()
    assert 1 == service.counts["count"]


def test_symlink_is_followed(cli: Cli, sketch: Path, drawing: Path, tmp_path: Path) -> None:
    """What it leads to is made or replaced, in its own folder; the link stays."""
    link, folder = tmp_path / "link.png", tmp_path / "folder"
    folder.mkdir()
    link.symlink_to(Path("folder", "drawing.png"))
    for _ in range(2):
        assert 0 == cli.run("improve", sketch, "-o", link).status
        assert (folder / "drawing.png").read_bytes().startswith(PNG)
        (folder / "drawing.png").write_bytes(b"of before")
    assert link.is_symlink()
    assert ["drawing.png"] == [path.name for path in folder.iterdir()]


def test_hints_svg_and_variant_are_sent(cli: Cli, service: Service, sketch: Path, drawing: Path) -> None:
    """Each of them makes another drawing of the same sketch."""
    svg = sketch.with_suffix(".svg")
    svg.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    for options in ((), ("--hints", "a böat"), ("--svg", svg), ("--variant", "2")):
        assert 0 == cli.run("improve", sketch, "-o", drawing, *options).status
    assert 4 == service.counts["count"]


def test_json_is_one_object(cli: Cli, sketch: Path, drawing: Path) -> None:
    """It says where the file is and all metadata, but holds no picture; progress stays on standard error."""
    ended = cli.run("improve", sketch, "-o", drawing, "--json")
    told = ended.json
    assert [0, "done", str(drawing)] == [told["exitStatus"], told["status"], told["file"]]
    assert told["result"]["provenance"]["cache"] == "MISS"
    assert "imageBase64" not in ended.out
    assert "drawing" in ended.err


def test_watched_job_tells_its_states(cli: Cli, sketch: Path, drawing: Path) -> None:
    """One line a change on standard error, then the drawing."""
    ended = cli.run("improve", sketch, "-o", drawing, "--watch")
    assert 0 == ended.status, ended.err
    assert drawing.read_bytes().startswith(PNG)
    states = [line.rsplit("  ", 1)[0] for line in ended.err.splitlines()]
    assert [states[0], states[-1]] == ["sending", "done, attempt 1 of 1"]
    assert "running, attempt 1 of 1" in states


def test_background_says_the_request_id_alone(cli: Cli, sketch: Path, drawing: Path) -> None:
    """
    The id is all that standard output has; the command that it names, pasted into any shell, follows the job and saves
    its drawing.
    """
    drawing = drawing.with_name("my drawing.png")
    submitted = cli.run("improve", sketch, "--background", "-o", drawing)
    assert 0 == submitted.status
    request_id = submitted.out.strip()
    assert ID.fullmatch(request_id)
    python, m, module, *arguments = shlex.split(submitted.sentence.removeprefix("Follow it with: "))
    assert ["python", "-m", "cli", "status", request_id] == [python, m, module, *arguments[:2]]
    followed = cli.run(*arguments, RUBYDRAW_ENDPOINT="")
    assert 0 == followed.status, followed.err
    assert drawing.read_bytes().startswith(PNG)


def test_background_claims_no_state(cli: Cli, sketch: Path) -> None:
    """The endpoint tells none, and a job whose drawing is kept is done at once."""
    told = [cli.run("improve", sketch, "--background", "--json").json for _ in range(2)]
    assert [{"exitStatus", "requestId"}] * 2 == [set(each) for each in told]


def test_status_of_a_running_job(cli: Cli, service: Service, sketch: Path, drawing: Path) -> None:
    """It is told at once; asking for a drawing that is not there yet is no success."""
    service.plays(kind="hold")
    request_id = cli.run("improve", sketch, "--background", "--json").json["requestId"]
    poll(lambda: service.counts["waiting"] == 1, "the job is not begun")
    state = cli.run("status", request_id)
    assert [0, f"{request_id}: running, attempt 1 of 1"] == [state.status, state.out.splitlines()[0]]
    early = cli.run("status", request_id, "-o", drawing)
    assert [3, f"Job {request_id} is running: there is no drawing yet; add --watch to wait for it."] == [
        early.status,
        early.sentence,
    ]
    assert not drawing.exists()
    told = cli.run("status", request_id, "--json").json
    assert [request_id, "running", 1] == [told["requestId"], told["status"], told["attempt"]]


def test_reader_that_goes_away_changes_nothing(cli: Cli, sketch: Path, drawing: Path) -> None:
    """With standard output closed the drawing is saved all the same, without a traceback."""
    process = cli.start("improve", sketch, "-o", drawing)
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    with process:
        assert "Traceback" not in process.stderr.read()
    assert 0 == process.returncode
    assert drawing.read_bytes().startswith(PNG)
