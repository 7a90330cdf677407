"""The tables of a run, as Markdown that can be read as it is."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bench import pages
from bench.contenders import CEILING, SERVICE
from bench.jobs import Jobs
from bench.measure import Measured, Results, paired
from bench.targets import Target

Row = Sequence[str]


def table(header: Row, rows: Iterable[Row]) -> str:
    """Lay out columns of equal width, the first to the left and the others to the right."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]

    def laid(line: Row) -> str:
        cells = [word.ljust(width) if not column else word.rjust(width)
                 for column, (word, width) in enumerate(zip(line, widths, strict=True))]  # fmt: skip
        return f"| {' | '.join(cells)} |"

    rule = "|".join(["", ":" + "-" * (widths[0] + 1), *("-" * (width + 1) + ":" for width in widths[1:]), ""])
    return "\n".join([laid(header), rule, *(laid(line) for line in lines[1:])])


def targets(judged: Iterable[Target]) -> str:
    return table(("target", "bound", "measured", "reached", "by CPU"), [target.row() for target in judged])


def answers(results: Results) -> Iterator[str]:
    header = ("", "answers/s", "min", "max", "p50 ms", "p99 ms", "CPU ms", "PSS MiB", "to ceiling", "this service's")
    for case, by_name in results.items():
        ceiling = by_name.get(CEILING)
        rows = [_row(name, measured, ceiling, by_name[SERVICE]) for name, measured in by_name.items()]
        yield f"#### {case}\n\n{table(header, rows)}\n"


def _row(name: str, measured: Measured, ceiling: Measured | None, service: Measured) -> Row:
    return (
        name,
        *(f"{rate:,.0f}" for rate in (measured.rate, min(measured.rates), max(measured.rates))),
        *(f"{measured.percentile(part):.2f}" for part in (0.5, 0.99)),
        f"{measured.cpu:.3f}",
        f"{measured.pss_mib:.0f}",
        f"{paired(measured.rates, ceiling.rates):.2f}" if ceiling else "",
        f"× {paired(service.rates, measured.rates):.1f}",
    )


def jobs(measured: Jobs) -> str:
    rows = [
        (name, f"{measured.rate(name):,.0f}", f"{min(rates):,.0f}", f"{max(rates):,.0f}")
        for name, rates in measured.rates.items()
    ]
    return table(("", "jobs/s", "min", "max"), rows)


def alone(measured: Jobs) -> str:
    """Lay out what one job takes, beside the one call that it makes."""
    taken_ms = {
        "a job, push to settled": [load.percentile(0.5) for load in measured.alone],
        "google-genai's call": measured.calls_ms,
    }
    rows = [
        (name, *(f"{of(each):.2f}" for of in (statistics.median, min, max)), f"{paired(each, measured.calls_ms):.1f}")
        for name, each in taken_ms.items()
    ]
    return table(("alone", "p50 ms", "min", "max", "to google-genai's call"), rows)


def starts(taken_ms: dict[str, list[float]]) -> str:
    hello_ms = next(iter(taken_ms.values()))
    rows = [
        (name, *(f"{of(each):.0f}" for of in (statistics.median, min, max)), f"{paired(each, hello_ms):.2f}")
        for name, each in taken_ms.items()
    ]
    return table(("first answer of", "median ms", "min", "max", "to hello world"), rows)


def imports(taken_ms: dict[str, float]) -> str:
    """Lay out what takes a millisecond or more, and the sum of all."""
    slow = [(name, f"{ms:.1f}") for name, ms in taken_ms.items() if ms >= 1]
    return table(("package", "ms"), [*slow, ("in all", f"{sum(taken_ms.values()):.1f}")])


def blocking(blocked_ms: dict[str, float]) -> str:
    return table(("one request of legal size", "ms blocked"), [(name, f"{ms:.0f}") for name, ms in blocked_ms.items()])


def machine() -> str:
    """Say when and on what this was measured, and how busy the machine was."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    load = Path("/proc/loadavg").read_text().split()[0]
    return f"{pages.measured()}, {names[0]}; load average at the end {load}, of which the measurement is 2."
