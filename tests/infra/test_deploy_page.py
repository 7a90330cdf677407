"""The deploy page: its examples name real variables, and its costs follow from its formula."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import hcl2

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "deploy.md").read_text()


def fenced(language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)


def test_costs_follow_from_the_formula() -> None:
    """The table is what the formula on the page computes."""
    (formula,) = fenced("python")
    names: dict[str, Any] = {}
    exec(formula, names)
    rows = {sketches: [*costs.values(), sum(costs.values())] for sketches, costs in names["PAGE"].items()}
    told = re.findall(r"^\| ([\d,]+) \|(.*)\|$", PAGE, re.MULTILINE)
    assert {f"{sketches:,}": [f"{cost:,.0f}" for cost in costs] for sketches, costs in rows.items()} == {
        sketches: [cell.strip() for cell in cells.split("|")] for sketches, cells in told
    }


def test_examples_name_variables_that_exist() -> None:
    """Each example can be pasted into terraform.tfvars."""
    with (ROOT / "infra" / "terraform" / "variables.tf").open() as file:
        variables = {label.strip('"') for block in hcl2.load(file)["variable"] for label in block}
    examples = [name for text in fenced("hcl") for name in hcl2.loads(re.sub("^ +", "", text)) if name[0] != "_"]
    assert examples
    assert [] == [name for name in examples if name not in variables]


def test_outputs_that_are_named_exist() -> None:
    """Each output that the page speaks of is one."""
    outputs = set(
        re.findall(r'^output "(\w+)"', (ROOT / "infra" / "terraform" / "outputs.tf").read_text(), re.MULTILINE)
    )
    named = set(re.findall(r"outputs? `(\w+)`|output -raw (\w+)", PAGE))
    assert {"add_api_keys", "add_gemini_api_key", "curl", "curl_free"} == {
        name for pair in named for name in pair if name
    }
    assert {"add_api_keys", "add_gemini_api_key", "curl", "curl_free"} <= outputs
