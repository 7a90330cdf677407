"""Checks whether the functions could run in this environment: lists the settings, and asks the services they name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from rich.text import Text
from rubydraw.graphql_settings import GraphqlSettings
from rubydraw.setting import NEEDED
from rubydraw.settings import BadSettings

from cli import probes
from cli.contract import plain
from cli.failure import Exit, Failure
from cli.report import Report

STYLES = {"ok": "green", "failed": "bold red", "missing": "bold red", "off": "yellow"}
LONGEST_VALUE = 60


def check(report: Report, environment: Mapping[str, str] = os.environ) -> Exit:
    """List the settings, ask the services that they name, and raise Failure if the functions could not run."""
    rows = settings(environment)
    report.knows(settings=rows)
    for row in rows:
        report.say(_line(row["name"], row["state"], row["shown"]))
    try:
        usable = GraphqlSettings.from_env(environment)
    except BadSettings as bad:
        raise Failure(Exit.REFUSED, f"{bad}. No service was asked.") from None
    told = []
    for finding in probes.findings(usable):
        told.append({"name": finding.name, "state": finding.state, "shown": finding.words})
        report.say(_line(finding.name, finding.state, finding.words))
    report.knows(checks=told)
    if failed := [row["name"] for row in told if row["state"] == "failed"]:
        raise Failure(Exit.REFUSED, f"These checks failed: {', '.join(failed)}.")
    return report.end(Text("All is well."))


def settings(environment: Mapping[str, str]) -> list[dict[str, str]]:
    """Each setting: its name, whether it is `set`, `default` or `missing`, and its value unless it is secret."""
    rows = []
    for field in fields(GraphqlSettings):
        name = field.name.upper()
        given = environment.get(name, "")
        if given:
            rows.append({"name": name, "state": "set", "shown": _shown(given) if field.repr else "(secret)"})
        elif field.default is NEEDED:
            rows.append({"name": name, "state": "missing", "shown": field.metadata["description"]})
        else:
            rows.append({"name": name, "state": "default", "shown": _default(field.default)})
    return rows


def _default(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else "" if value is None else str(value)


def _shown(value: str) -> str:
    value = plain(value)
    return value if len(value) <= LONGEST_VALUE else f"{value[:LONGEST_VALUE]}… ({len(value)} characters)"


def _line(name: str, state: str, shown: str) -> Text:
    return Text.assemble(f"{name:<27}", (f"{state:<8}", STYLES.get(state, "")), f" {shown}".rstrip())
