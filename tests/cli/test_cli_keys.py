"""`keys new`: a key shown once, its entry for the operator, and an endpoint that takes it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from rubydraw import api_keys

from tests.cli.conftest import PNG, Cli
from tests.e2e.conftest import laptop
from tests.sketches import png


def test_key_and_entry_are_two_lines() -> None:
    """The entry knows the key by its hash alone."""
    ended = Cli().run("keys", "new", "my-app", "--expires", "2127-01-31", "--calls-per-day", "50")
    assert (0, "") == (ended.status, ended.err)
    [key] = re.findall(r"^key    (rubydraw_\S{43})$", ended.out, re.MULTILINE)
    [entry] = re.findall(r"^entry  (\{.*\})$", ended.out, re.MULTILINE)
    hashed = hashlib.sha256(key.encode()).hexdigest()
    expected = {"name": "my-app", "sha256": hashed, "expires": "2127-01-31", "calls_per_day": 50}
    assert expected == json.loads(entry)
    assert 1 == ended.out.count(key)


def test_what_no_key_can_have_is_one_sentence() -> None:
    """2, and no key."""
    for expires, why in (
        ("soon", "expires must be a date such as 2027-01-31"),
        ("2020-01-31", "expires must be today, in UTC, or a later day"),
    ):
        ended = Cli().run("keys", "new", "a", "--expires", expires)
        assert (2, "") == (ended.status, ended.out)
        assert f"This key cannot be made: {why}." == ended.sentence


def test_a_key_that_was_made_opens_the_laptop(tmp_path: Path) -> None:
    """With access required: nothing without it, a drawing with it, and the key in nobody's output."""
    made = Cli().run("keys", "new", "my-app", "--json").json
    (tmp_path / "sketch.png").write_bytes(png())
    improve = ("improve", tmp_path / "sketch.png", "-o", tmp_path / "drawing.png", "--watch")
    access = {"ACCESS": "required", "IMAGE_SIGNING_KEY": "k" * 32}
    with laptop(tmp_path, **access, API_KEYS=json.dumps([made["entry"]])) as running:
        cli, sent = Cli(RUBYDRAW_ENDPOINT=running.endpoint), ("", api_keys.new("my-app")[0], made["key"])
        without, wrong, right = (cli.run(*improve, RUBYDRAW_KEY=key) for key in sent)
        told = right.out + right.err + "".join(running.lines + running.logs)
    assert [1, f"{running.endpoint} requires a key; give it with --key or RUBYDRAW_KEY."] == [
        without.status, without.sentence,
    ]  # fmt: skip
    assert [1, f"{running.endpoint} does not accept this key."] == [wrong.status, wrong.sentence]
    assert [0, True] == [right.status, (tmp_path / "drawing.png").read_bytes().startswith(PNG)]
    assert made["key"] not in told
