"""Measures this service beside its ceilings and peers: `make bench`, or in three minutes `make bench-quick`."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench import blocking, cold, contenders, jobs, measure, pages, questions, report, targets
from bench.contenders import BARE, CEILING, PARSED, PEERS_BY_NAME, SERVICE, STRAWBERRY

TEMPLATE = Path(__file__).parent / "speed.template.md"
ALL = (SERVICE, CEILING, PARSED, BARE, *PEERS_BY_NAME)
FEW = (SERVICE, CEILING, BARE, STRAWBERRY)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="run fewer rounds and peers; print the tables, but write no page"
    )
    parser.add_argument("--rounds", type=int, help="number of rounds; default: 7, with --quick 2")
    options = parser.parse_args()
    page = measured(quick=options.quick, rounds=options.rounds or (2 if options.quick else 7))
    print(page)
    if not options.quick:
        pages.put("performance.md", "speed", page)


def measured(*, quick: bool, rounds: int) -> str:
    """Return the block of docs/performance.md with the numbers of a run."""
    names = FEW if quick else ALL
    queues = (jobs.TASKIQ,) if quick else (jobs.TASKIQ, jobs.DRAMATIQ, jobs.CELERY)
    run_s = 0.6 if quick else 1.0
    answers = measure.measure(contenders.contenders(names), questions.cases(), rounds=rounds, run_s=run_s)
    done = jobs.measure(queues, rounds=1 if quick else rounds, run_s=run_s * 2)
    taken_ms = cold.measure(3 if quick else max(rounds, 9))
    blocked_ms = blocking.measure()
    judged = [
        *targets.of_answers(answers),
        *targets.of_jobs(done),
        *targets.of_cold_starts(taken_ms),
        *targets.of_blocking(blocked_ms),
    ]
    parts = {
        "machine": report.machine(),
        "targets": report.targets(judged),
        "answers": "\n".join(report.answers(answers)).strip(),
        "jobs": report.jobs(done),
        "alone": report.alone(done),
        "starts": report.starts(taken_ms),
        "blocking": report.blocking(blocked_ms),
    }
    page = TEMPLATE.read_text()
    for name, text in parts.items():
        page = page.replace(f"<!-- {name} -->", text)
    return page


if __name__ == "__main__":
    main()
