"""What is in a bundle, and that the same sources make the same bytes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from infra import bundle

KINDS = {".py", ".lua", ".graphql"}
ODD_ONES = {"requirements.txt", "rubydraw/py.typed"}


@pytest.fixture(params=bundle.FUNCTIONS)
def function(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_same_sources_make_the_same_bytes(function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle does not tell when, where or by whom it was packed."""
    here = bundle.write(function, tmp_path / "here").read_bytes()
    for folder in (f"functions/{function}", "shared/rubydraw"):
        shutil.copytree(bundle.ROOT / folder, tmp_path / folder, copy_function=shutil.copyfile)
        for path in (tmp_path / folder).glob("*.py"):
            path.chmod(0o700)
            os.utime(path, (1_000_000_000, 1_000_000_000))
    monkeypatch.setattr(bundle, "ROOT", tmp_path)
    assert here == bundle.write(function, tmp_path / "elsewhere").read_bytes()


def test_hidden_files_are_left_out(function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock of an editor leads nowhere, and what macOS keeps beside a file does not compile."""
    here = bundle.write(function, tmp_path / "here").read_bytes()
    for folder in (f"functions/{function}", "shared/rubydraw", "shared/rubydraw/jobs", "shared/rubydraw/lua"):
        shutil.copytree(bundle.ROOT / folder, tmp_path / folder, dirs_exist_ok=True)
        for name in ("main.py", "claim.lua"):
            (tmp_path / folder / f".#{name}").symlink_to("me@laptop.1234:1")
            (tmp_path / folder / f"._{name}").write_bytes(b"\0\5\x16\7")
    monkeypatch.setattr(bundle, "ROOT", tmp_path)
    assert here == bundle.write(function, tmp_path / "elsewhere").read_bytes()


def test_entries_are_sorted_and_plain(function: str, tmp_path: Path) -> None:
    """Entries stand in order, with one time and one mode, uncompressed."""
    with zipfile.ZipFile(bundle.write(function, tmp_path)) as packed:
        entries = packed.infolist()
    assert sorted(entry.filename for entry in entries) == [entry.filename for entry in entries]
    assert {(bundle.EPOCH, bundle.REGULAR_FILE, zipfile.ZIP_STORED)} == {
        (entry.date_time, entry.external_attr, entry.compress_type) for entry in entries
    }


def test_a_bundle_holds_the_function_and_the_package_only(function: str) -> None:
    """Everything is either the function's own file at the root or a file of rubydraw."""
    names = bundle.contents(function)
    folders = {name.rpartition("/")[0] for name in names}
    packages = ("drawings", "gemini", "http", "jobs", "limits", "redis")
    assert {"", "rubydraw", "rubydraw/lua", *(f"rubydraw/{name}" for name in packages)} == folders
    assert [] == [name for name in names if Path(name).suffix not in KINDS and name not in ODD_ONES]
    files = [path.name for path in (bundle.ROOT / "functions" / function).iterdir() if path.is_file()]
    assert {name for name in files if not name.startswith(".")} == {name for name in names if "/" not in name}


def test_the_whole_package_is_in_each_bundle(function: str) -> None:
    """No file of rubydraw is forgotten, whatever folder it is added in."""
    package = bundle.ROOT / "shared" / "rubydraw"
    files = {f"rubydraw/{path.relative_to(package).as_posix()}" for path in package.rglob("*") if path.is_file()}
    expected = {name for name in files if "__pycache__" not in name and "/." not in name}
    assert expected == {name for name in bundle.contents(function) if name.startswith("rubydraw/")}


def test_every_file_compiles(function: str) -> None:
    """The buildpack compiles the whole source, so each file must."""
    for name, path in bundle.contents(function).items():
        if path.suffix == ".py":
            compile(path.read_bytes(), name, "exec")


def test_requirements_are_hashed(function: str) -> None:
    """Each requirement is pinned to one version and carries hashes."""
    text = (bundle.ROOT / "functions" / function / "requirements.txt").read_text()
    requirements = [block for block in text.replace("\\\n", " ").splitlines() if block.strip()]
    assert [] == [block for block in requirements if "==" not in block or "--hash=sha256:" not in block]
    assert any(block.startswith("functions-framework==") for block in requirements)


def test_the_command_writes_both_and_prints_their_sizes(tmp_path: Path) -> None:
    """`python infra/bundle.py OUT_DIR` needs nothing installed and says what it made."""
    command = [sys.executable, "-I", str(bundle.ROOT / "infra" / "bundle.py"), str(tmp_path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert ["graphql.zip", "worker.zip"] == sorted(path.name for path in tmp_path.iterdir())
    assert ["graphql.zip", "worker.zip"] == [line.split()[0] for line in printed]
    sizes = [f"{(tmp_path / line.split()[0]).stat().st_size:,}" for line in printed]
    assert sizes == [line.split()[1] for line in printed]
