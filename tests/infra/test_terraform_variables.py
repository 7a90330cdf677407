"""What the variables refuse, asked of Terraform itself: their file alone needs no provider and no network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

VARIABLES = Path(__file__).resolve().parents[2] / "infra" / "terraform" / "variables.tf"
HASH = "ab" * 32
GIVEN = {"project_id": "demo-project", "region": "europe-west4"}

REFUSED = [
    ("access", {"mode": "none"}, "access.mode allows required or off"),
    ("access", {"mode": "off"}, "allow_unauthenticated_spending needs to be"),
    ("access", {"api_keys_version": "0"}, "access.api_keys_version allows latest or"),
    (
        "access",
        {"jwt": {"audience": "a", "issuer": "i", "jwks_url": "http://keys.example"}},
        "access.jwt needs an audience",
    ),
    ("alert_emails", ["team at example.com"], "alert_emails allows addresses such as"),
    ("api_keys", "a-key", "api_keys allows a JSON list of the entries"),
    *(
        ("api_keys", value, "api_keys allows a JSON list of the entries that `python -m cli keys new` prints")
        for value in (
            *("", "null", "{}", "[1]", '["web"]', '[{"name": "web"}]', f'[{{"sha256": "{HASH}"}}]'),
            f'{{"name": "web", "sha256": "{HASH}"}}',
            f'[{{"name": "Web", "sha256": "{HASH}"}}]',
            f'[{{"name": "web", "sha256": "{HASH.upper()}"}}]',
            f'[{{"name": "web", "sha256": "{HASH}"}}, {{"name": "web", "sha256": "{HASH}0"}}]',
            f'[{{"name": "web", "sha256": "{HASH}", "expiry": "2027-01-31"}}]',
        )
    ),
    *(
        (
            "api_keys",
            f'[{{"name": "web", "sha256": "{HASH}", {field}}}]',
            "api_keys allows dates such as 2027-01-31 as expires",
        )
        for field in (
            *('"expires": "soon"', '"expires": "2027-02-30"', '"requests_per_minute": 0', '"calls_per_day": 1.5'),
            *('"concurrent_jobs": "few"', '"dollars_per_day": -1'),
        )
    ),
    (
        "api_keys",
        f'[{{"name": "a", "sha256": "{HASH}"}}, {{"name": "b", "sha256": "{HASH}"}}]',
        "allows each sha256 only once",
    ),
    ("archive", {"keep_days": -1}, "archive.keep_days allows a whole number of days"),
    ("cache_enabled", False, "cache_enabled = false needs background_enabled = false"),
    ("budget", {"daily_calls": "none"}, "budget allows whole numbers of calls, or the word unlimited"),
    ("budget", {"principal_daily_dollars": "-1"}, "budget allows dollars such as 50 or 0.5, or the word unlimited"),
    ("cors_origins", ["*"], "cors_origins allows exact origins"),
    ("cors_origins", ["https://draw.example/"], "cors_origins allows exact origins"),
    ("cors_origins", ["https://me@draw.example"], "cors_origins allows exact origins"),
    ("gemini", {"api_key_version": "newest"}, "gemini.api_key_version allows latest or"),
    ("gemini", {"location": "Belgium"}, "gemini.location allows global or a region"),
    ("gemini", {"mode": "openai"}, "gemini.mode allows api, express or vertex"),
    ("gemini_api_key", "…", "gemini_api_key allows one word of visible ASCII characters"),
    ("gemini_api_key", "a\nb", "gemini_api_key allows one word of visible ASCII characters"),
    ("graphql", {"concurrency": 0}, "graphql.concurrency allows 1 to 1000"),
    ("graphql", {"cpu": 0.5}, "graphql.cpu allows 1, 2, 4 or 8"),
    *(
        (
            "graphql",
            {"cpu": cpu, "memory_mb": memory_mb},
            "graphql.memory_mb allows 512 to 4096 with a cpu of 1, 512 to",
        )
        for cpu, memory_mb in ((1, 128), (1, 4097), (2, 8193), (4, 2047), (4, 16385), (8, 512), (8, 32769))
    ),
    ("graphql", {"min_instances": 11}, "graphql allows max_instances from 1 to 100"),
    ("graphql_invokers", ["everybody"], "graphql_invokers allows allUsers"),
    ("labels", {"Team": "draw"}, "labels allows keys and values of"),
    ("limits", {"requests_per_minute": ""}, "limits allows whole numbers, or the word unlimited"),
    ("name", "Sketch", "name allows 3 to 22 lower-case letters"),
    ("project_id", "123456789012", "project_id allows a project's id"),
    ("redis", {"maintenance_day": "sunday"}, "redis.maintenance_day allows MONDAY to SUNDAY"),
    ("redis", {"maintenance_hour_utc": 24}, "redis.maintenance_hour_utc allows 0 to 23"),
    ("redis", {"memory_gb": 0.5}, "redis.memory_gb allows 1 to 300"),
    ("region", "europe-west4-a", "region allows the name of a region"),
    ("results_redis", {"memory_gb": 0}, "results_redis.memory_gb allows 1 to 300"),
    ("settings", {"GEMINI_API_KEY": "in plain sight"}, "settings allows ARCHIVE_ENDPOINT, CALL_DOLLARS"),
    ("settings", {"MAX_PNG_BYTES": "6700001"}, "settings allows a MAX_PNG_BYTES of at most 6700000"),
    ("settings", {"SYNC_DEADLINE_S": "600"}, "settings allows a SYNC_DEADLINE_S of at most 580"),
    ("settings", {"WORK_DEADLINE_S": "long"}, "settings allows a WORK_DEADLINE_S of at most 220"),
    ("subnet_cidr", "10.8.0.0/28", "subnet_cidr allows an IPv4 range of at least 64"),
    ("worker", {"concurrency": 1.5}, "worker.concurrency allows 1 to 1000"),
    ("worker", {"cpu": 3}, "worker.cpu allows 1, 2, 4 or 8"),
    ("worker", {"max_instances": 0}, "worker allows max_instances from 1 to 100"),
    ("worker", {"memory_mb": 32768}, "worker.memory_mb allows 512 to 4096 with a cpu of 1, 512 to"),
]

ACCEPTED = {
    "access": {"jwt": {"audience": "a", "issuer": "i", "jwks_url": "https://keys.example"}, "mode": "off"},
    "alert_emails": ["team@example.com"],
    "allow_unauthenticated_spending": "yes, anyone may spend our money",
    "api_keys": f"""[
        {{"name": "a.b-c", "sha256": "{"0" * 64}", "expires": "2027-01-31", "dollars_per_day": 0.5}},
        {{"name": "7", "sha256": "{HASH}", "requests_per_minute": 1, "concurrent_jobs": 0, "calls_per_day": null}}
    ]""",
    "background_enabled": False,
    "budget": {"daily_calls": 100, "daily_dollars": 0.5, "principal_daily_calls": "unlimited"},
    "cache_enabled": False,
    "cors_origins": ["https://draw.example", "http://localhost:5173"],
    "gemini": {"api_key_version": "2", "location": "europe-west4", "mode": "vertex"},
    "gemini_api_key": "throw-away\n",
    "graphql": {"cpu": 8, "memory_mb": 32768},
    "graphql_invokers": ["domain:example.com", "group:team@example.com"],
    "labels": {"team": "draw"},
    "limits": {"concurrent_jobs": 0},
    "results_redis": None,
    "settings": {"LOG_LEVEL": "DEBUG", "MAX_PNG_BYTES": "6700000", "WORK_DEADLINE_S": "150"},
    "subnet_cidr": "10.9.0.0/26",
    "worker": {"cpu": 4, "memory_mb": 2048},
}

pytestmark = [
    pytest.mark.terraform,
    pytest.mark.skipif(not shutil.which("terraform"), reason="terraform is not installed"),
]


def planned(folder: Path, **variables: object) -> tuple[int, str]:
    """Plan the variables alone; return the status and, in one line, what Terraform says."""
    shutil.copy(VARIABLES, folder)
    (folder / "terraform.tfvars.json").write_text(json.dumps(GIVEN | variables))
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "CHECKPOINT_DISABLE": "1"}
    command = ["terraform", "plan", "-input=false", "-no-color", "-lock=false"]
    told = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    return told.returncode, " ".join(told.stderr.replace("│", " ").split())


@pytest.mark.parametrize(("name", "value", "sentence"), REFUSED, ids=[f"{n}={v}" for n, v, _ in REFUSED])
def test_a_wrong_value_is_told_what_is_allowed(name: str, value: object, sentence: str, tmp_path: Path) -> None:
    """A plan with a wrong value fails, and the sentence says what is allowed."""
    status, told = planned(tmp_path, **{name: value})
    assert 1 == status
    assert sentence in told


def test_right_values_are_taken(tmp_path: Path) -> None:
    """A plan with a project, a region and every kind of right value goes through."""
    assert (0, "") == planned(tmp_path, **ACCEPTED)
    assert (0, "") == planned(tmp_path)
    assert (0, "") == planned(tmp_path, archive={"keep_days": 365}, api_keys="[]", gemini_api_key="")


def test_alerts_need_what_they_are_about_to_be_logged(tmp_path: Path) -> None:
    """Three of the four kinds are warnings; without an address any level goes."""
    settings = {"LOG_LEVEL": "ERROR"}
    assert (0, "") == planned(tmp_path, settings=settings)
    status, told = planned(tmp_path, settings=settings, alert_emails=["team@example.com"])
    assert 1 == status
    assert "settings allows a LOG_LEVEL of ERROR only where alert_emails is empty" in told
