"""Test groups that need more than Python, or minutes: chosen with --with; the others are skipped, and say so."""

import pytest

GROUPS = ("node", "browser", "terraform", "bundle", "google_pubsub", "chaos")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--with", default="", help=f"groups to run besides the plain tests: {' '.join(GROUPS)}")


def pytest_configure(config: pytest.Config) -> None:
    if unknown := set(config.getoption("--with").split()) - set(GROUPS):
        raise pytest.UsageError(f"unknown test group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = set(config.getoption("--with").split())
    for item in items:
        for group in GROUPS:
            if item.get_closest_marker(group):
                reason = f'needs the group {group}: make test WITH="{group}"'
                item.add_marker(pytest.mark.skipif(group not in wanted, reason=reason))
