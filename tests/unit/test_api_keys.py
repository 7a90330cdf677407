"""API keys: how they are made, read from the secret, found and ended."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from datetime import UTC, date, datetime, timedelta

import pytest
from rubydraw import api_keys
from rubydraw.api_keys import ApiKey, ApiKeys
from rubydraw.principal import Limits

CANARY = "c4n4ry-s3cr3t"
SHA256 = hashlib.sha256(b"a").hexdigest()


def entry(**fields: object) -> str:
    return json.dumps([{"name": "web", "sha256": SHA256, **fields}])


def test_a_key_is_random_and_known_by_its_hash_alone() -> None:
    """256 bits behind a prefix that can be searched for, and an entry without them."""
    made = [api_keys.new("web") for _ in range(100)]
    assert 100 == len({key for key, _ in made})
    for key, about in made:
        assert (True, 43) == (key.startswith("rubydraw_"), len(key.removeprefix("rubydraw_")))
        assert {"name": "web", "sha256": hashlib.sha256(key.encode()).hexdigest()} == about.entry
        assert about.sha256 not in repr(about)


def test_an_entry_that_was_written_can_be_read() -> None:
    """With its last day and limits, which become the principal's."""
    key, about = api_keys.new("web", expires="2027-01-31", requests_per_minute=60, dollars_per_day=0.5)
    [read] = api_keys.read(json.dumps([about.entry]))
    assert (about, date(2027, 1, 31)) == (read, read.expires)
    found = ApiKeys([read]).find(key)
    assert found
    assert ("key:web", "key:web", Limits(60, None, None, 0.5)) == (
        found[1].owner, found[1].account, found[1].limits,
    )  # fmt: skip


def test_only_the_key_itself_is_found() -> None:
    """Nothing shorter, longer or empty, not its hash, and nothing where there are no keys."""
    key, about = api_keys.new("web")
    keys = ApiKeys([about, api_keys.new("other")[1]])
    assert keys.find(key) == (about, about.principal)
    for wrong in (key[:-1], key + "A", key.upper(), about.sha256, ""):
        assert None is keys.find(wrong)
    assert None is ApiKeys(()).find(key)


def test_keys_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked up is a digest, and the last word is that of `hmac.compare_digest`."""
    key, about = api_keys.new("web")
    monkeypatch.setattr(hmac, "compare_digest", lambda *_: False)
    assert None is ApiKeys([about]).find(key)


@pytest.mark.parametrize(("days", "ended"), [(-1, True), (0, False), (1, False), (None, False)])
def test_a_key_ends_with_its_last_day(days: int | None, ended: bool) -> None:
    """In UTC; without one it does not end."""
    last = None if days is None else datetime.now(UTC).date() + timedelta(days=days)
    assert ended == api_keys.expired(ApiKey(name="web", sha256=SHA256, expires=last))


def test_two_keys_of_one_name_are_one_principal() -> None:
    """So a key is replaced without anybody losing a job."""
    (old, first), (new, second) = api_keys.new("web"), api_keys.new("web")
    keys = ApiKeys(api_keys.read(json.dumps([first.entry, second.entry])))
    owners = [found[1].owner for found in map(keys.find, (old, new)) if found]
    assert ["key:web"] * 2 == owners


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (CANARY, "must be a JSON list of the entries that"),
        ("{}", "must be a JSON list"),
        (f'["{CANARY}"]', "entry 1: must be a JSON object with no other fields than name, sha256,"),
        ('[{"name": "web"}]', "entry 1: sha256 is missing"),
        (entry(sha256=CANARY), "entry 1: sha256 must be 64 lower-case hexadecimal digits"),
        (entry(sha256=SHA256.upper()), "entry 1: sha256 must be 64 lower-case hexadecimal digits"),
        (entry(name=f"{CANARY} "), "entry 1: name must be 1 to 63 characters of a-z"),
        (entry(name="a:b"), "entry 1: name must be 1 to 63 characters of a-z"),
        (entry(expires=""), "entry 1: expires must be a date such as 2027-01-31"),
        (entry(expires=CANARY), "entry 1: expires must be a date such as 2027-01-31"),
        (entry(requests_per_minute=0), "entry 1: requests_per_minute must be a whole number from 1 to 1,000,000,000"),
        (entry(dollars_per_day=-1), "entry 1: dollars_per_day must be a number from 0 to 1,000,000"),
        (entry(**{CANARY: 1}), "entry 1: must be a JSON object with no other fields"),
        (json.dumps(json.loads(entry()) * 2), "holds the same sha256 twice"),
    ],
)
def test_a_list_that_cannot_be_used_is_one_sentence(text: str, sentence: str) -> None:
    """It names entry and field, and repeats nothing."""
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}") as refused:
        api_keys.read(text)
    assert CANARY not in str(refused.value)
