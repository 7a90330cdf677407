"""The Terraform files: they parse, are laid out as Terraform does it, and agree with the settings of the code."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import hcl2
import pytest
from rubydraw.graphql_settings import GraphqlSettings

from docs import generate

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "infra" / "terraform"
FILES = sorted([*MODULE.glob("*.tf"), *MODULE.rglob("*.hcl"), *MODULE.glob("*.example")])
SETTINGS = {field.name.upper(): field for field in fields(GraphqlSettings)}
SETTLE_S = 20
"""What settling a job may take after its deadline: Redis is tried again for some seconds."""


def parsed(name: str) -> dict[str, Any]:
    with (MODULE / name).open() as file:
        return dict(hcl2.load(file))


def local(file: str, name: str) -> Any:
    """Return one local value: a number, a map, or the text of its expression."""
    return next(block[name] for block in parsed(file)["locals"] if name in block)


def blocks(file: str, kind: str) -> dict[str, dict[str, Any]]:
    """Return the blocks of a kind that has one label, in the file's order."""
    return {label.strip('"'): body for block in parsed(file)[kind] for label, body in block.items()}


def assigned(expression: str) -> set[str]:
    """Return the names of environment variables that are given a value in an expression."""
    return set(re.findall(r"\b([A-Z][A-Z_]+) = ", expression))


def overridable() -> tuple[set[str], str]:
    """Return the settings that var.settings allows, and the sentence that says so."""
    rule = blocks("variables.tf", "variable")["settings"]["validation"][0]
    return set(re.findall(r'"([A-Z_]+)"', rule["condition"])), rule["error_message"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(MODULE).as_posix())
def test_each_file_parses(path: Path) -> None:
    """Each file is HCL and holds something."""
    with path.open() as file:
        assert hcl2.load(file)


def test_variables_and_outputs_are_described_and_in_order() -> None:
    """Each is described, each variable has a type, and both files are alphabetical."""
    variables, outputs = blocks("variables.tf", "variable"), blocks("outputs.tf", "output")
    for names in (variables, outputs):
        assert sorted(names) == list(names)
        assert [] == [name for name, body in names.items() if not body.get("description")]
    assert [] == [name for name, body in variables.items() if "type" not in body]


def test_project_and_region_are_all_that_must_be_given() -> None:
    """Every other variable has a default."""
    variables = blocks("variables.tf", "variable")
    assert {"project_id", "region"} == {name for name, body in variables.items() if "default" not in body}


def test_each_refusal_says_what_is_allowed() -> None:
    """A validation's sentence names its variable, and what it allows or needs."""
    for name, body in blocks("variables.tf", "variable").items():
        for rule in body.get("validation", []):
            assert re.match(rf'"{name}\b.* (allows|needs) ', rule["error_message"]), rule["error_message"]


def test_terraform_and_providers_are_bounded() -> None:
    """Neither Terraform nor a provider may move to another major version by itself, and no lock file is kept."""
    (terraform,) = parsed("versions.tf")["terraform"]
    assert '">= 1.11, < 2.0"' == terraform["required_version"]
    (providers,) = terraform["required_providers"]
    versions = {name: body["version"] for name, body in providers.items() if isinstance(body, dict)}
    assert {"google": '"~> 8.0"', "time": '"~> 0.13"'} == versions


def test_terraform_knows_every_setting_and_no_other() -> None:
    """Each setting is set by Terraform, is a secret, or can be overridden; and each name there is a setting."""
    fixed, secret = assigned(local("functions.tf", "environment")), assigned(local("secrets.tf", "secrets"))
    assert set(SETTINGS) == fixed | secret | overridable()[0]
    assert set() == overridable()[0] & (fixed | secret)


def test_secrets_are_the_settings_that_are_never_shown() -> None:
    """What the code keeps out of its own repr comes from Secret Manager."""
    hidden = {name for name, field in SETTINGS.items() if not field.repr}
    assert hidden == assigned(local("secrets.tf", "secrets"))


def test_the_refused_setting_is_told_all_that_are_allowed() -> None:
    """The sentence of the validation lists what its condition lists."""
    allowed, sentence = overridable()
    assert allowed == set(re.findall(r"\b[A-Z_]{5,}\b", sentence))


def test_alerts_name_what_the_code_logs() -> None:
    """Each message in a filter is one that a function writes, with the field that is asked for, and has its advice."""
    filters = [*local("alerts.tf", "alerts").values(), local("alerts.tf", "redis_events")]
    logged = {event: fields for event, severity, fields in generate.logged() if severity == "WARNING"}
    asked = {
        message: set(re.findall(r"jsonPayload\.(\w+)=", one)) - {"message"}
        for one in filters
        for message in re.findall(r'"([a-z]+\.[a-z_]+)\\?"', one)
    }
    messages = asked.keys()
    assert {"budget.exceeded": {"of"}, "gemini.failed": {"code"}}.items() <= asked.items()
    assert {} == {message: fields for message, fields in asked.items() if not fields <= set(logged.get(message, ()))}
    assert set() == messages - logged.keys()
    operations = (ROOT / "docs" / "operations.md").read_text()
    assert [] == [message for message in messages if f"`{message}`" not in operations]


def test_each_time_fits_into_the_next() -> None:
    """A request ends before its function is stopped, and a delivery before Pub/Sub gives up on it."""
    timeouts_s = {name: body["timeout_s"] for name, body in local("functions.tf", "functions").items()}
    (subscription,) = [
        body
        for block in parsed("pubsub.tf")["resource"]
        for body in [block.get('"google_pubsub_subscription"', {}).get('"jobs"')]
        if body
    ]
    assert GraphqlSettings.sync_deadline_s < timeouts_s["graphql"] <= 3600
    assert GraphqlSettings.work_deadline_s + SETTLE_S < timeouts_s["worker"]
    assert timeouts_s["worker"] < subscription["ack_deadline_seconds"] <= 600


@pytest.mark.terraform
@pytest.mark.skipif(not shutil.which("terraform"), reason="terraform is not installed")
def test_files_are_laid_out_by_terraform() -> None:
    """`terraform fmt` would change nothing."""
    told = subprocess.run(["terraform", "fmt", "-check", "-diff", "-recursive", MODULE], capture_output=True, text=True)
    assert (0, "") == (told.returncode, told.stdout)
