"""The reference page says what the code says."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from graphql import GraphQLEnumType, GraphQLInputField, GraphQLInputObjectType, build_schema
from rubydraw.errors import Code
from rubydraw.graphql_settings import GraphqlSettings

from docs import generate

SCHEMA = generate.ROOT / "functions" / "graphql" / "schema.graphql"


def rows(section: str) -> list[str]:
    """The first cells of the table below a heading."""
    below = generate.PAGE.read_text("utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", below, re.MULTILINE)


def test_the_page_is_in_step() -> None:
    """`make docs` would change nothing."""
    assert generate.page() == generate.PAGE.read_text("utf-8")


def test_check_says_whether_the_page_is_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that is missing or old is told, and not written."""
    monkeypatch.setattr(generate, "PAGE", tmp_path / "reference.md")
    assert "docs/reference.md is stale: run `make docs`." == generate.main(["--check"])
    assert not generate.PAGE.exists()
    assert generate.main([]) is None
    assert generate.main(["--check"]) is None
    generate.PAGE.write_text("old")
    assert "docs/reference.md is stale: run `make docs`." == generate.main(["--check"])


def test_the_command_runs_from_anywhere(tmp_path: Path) -> None:
    """As `make check` calls it, and with nothing but the project's environment."""
    command = [sys.executable, str(generate.ROOT / "docs" / "generate.py"), "--check"]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (0, "", "") == (checked.returncode, checked.stdout, checked.stderr)


def test_every_setting_is_listed() -> None:
    """Each field of GraphqlSettings, in its order, with a meaning."""
    assert [field.name.upper() for field in fields(GraphqlSettings)] == rows("Settings")
    assert all(field.metadata["description"] for field in fields(GraphqlSettings))


def test_every_code_is_listed() -> None:
    """Each code of the contract, in its order."""
    assert list(Code) == rows("Error codes")


def test_every_event_is_listed() -> None:
    """What the code logs is explained, and what is explained is logged."""
    logged = sorted(event for event, _, _ in generate.logged())
    assert logged == rows("Log events")
    assert set(logged) == generate.EVENTS.keys()


def test_events_are_constant_names() -> None:
    """Every call of our loggers has a dotted name that the generator finds, and each name is used once."""
    sources = [path.read_text("utf-8") for folder in generate.SOURCES for path in folder.rglob("*.py")]
    calls = sum(len(re.findall(r"\blogs\.(?:info|warning|error)\(", source)) for source in sources)
    events = [event for event, _, _ in generate.logged()]
    assert calls == len(events) == len(set(events))
    assert all(re.fullmatch(r"[a-z]+\.[a-z_]+", event) for event in events)


def test_the_schema_has_the_same_codes() -> None:
    """ProblemCode of the contract is Code, in the same order: five that are final, then those that may pass."""
    problem_code = build_schema(SCHEMA.read_text("utf-8")).type_map["ProblemCode"]
    assert isinstance(problem_code, GraphQLEnumType)
    assert list(Code) == list(problem_code.values)
    assert [True] * 10 == [code.retryable for code in list(Code)[5:]]


def test_links_lead_somewhere() -> None:
    """Each file that the page links to is there."""
    links = re.findall(r"\]\(([^)#]+)\)", generate.PAGE.read_text("utf-8"))
    assert [] == [link for link in links if not (generate.PAGE.parent / link).exists()]
    assert links


def test_the_schema_has_the_same_limits() -> None:
    """What the contract says of its input is what the code allows."""
    limits = generate.limits()
    described = {name: field.description or "" for name, field in input_fields().items()}
    said = {
        "pngBase64": f"at most {limits['png']}",
        "svg": f"at most {limits['svg']}",
        "hints": f"at most {limits['hints']} characters",
        "idempotencyKey": f"At most {limits['key_chars']} visible",
        "waitSeconds": f"0 to {limits['wait_s']}",
    }
    assert [] == [name for name, limit in said.items() if limit not in described[name]]


def test_each_field_of_the_input_is_read() -> None:
    """One that no resolver names would be taken, and mean nothing."""
    resolvers = (SCHEMA.parent / "resolvers.py").read_text("utf-8")
    assert [] == [name for name in input_fields() if f'"{name}"' not in resolvers]


def test_each_setting_is_read() -> None:
    """One that no code reads would be set by an operator, and change nothing."""
    code = "".join(path.read_text("utf-8") for folder in generate.SOURCES for path in folder.rglob("*.py"))
    read = set(re.findall(r"(?i:settings)\.(\w+)", code))
    assert "results_url" in read  # which reads the first of these
    assert {"cache_redis_url"} == {field.name for field in fields(GraphqlSettings)} - read


def input_fields() -> dict[str, GraphQLInputField]:
    kind = build_schema(SCHEMA.read_text("utf-8")).type_map["ImproveSketchInput"]
    assert isinstance(kind, GraphQLInputObjectType)
    return dict(kind.fields)


@pytest.mark.parametrize("page", ["archive.md", "operations.md"])
def test_each_event_that_a_page_names_is_logged(page: str) -> None:
    """Whoever is woken looks for that name, and for the fields that a command asks for."""
    text, logged = (
        (generate.PAGE.parent / page).read_text("utf-8"),
        {event: told for event, _, told in generate.logged()},
    )
    kinds = "|".join(sorted({event.partition(".")[0] for event in logged}))
    named = set(re.findall(rf"[`\"]((?:{kinds})\.(?!py\b)[a-z_]+)[`\"]", text))
    assert set() == named - logged.keys()
    asked = set(re.findall(r"jsonPayload\.(\w+)", text)) - {"message"}
    assert set() == asked - {field for told in logged.values() for field in told}
