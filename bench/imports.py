"""What a function imports before its first request, package by package, and what each costs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter

from bench.servers import ROOT, machine

_LINE = re.compile(r"import time: +(\d+) \| +\d+ \| +(\S+)")
SETTINGS = {"REDIS_URL": "redis://127.0.0.1:1/0", "GEMINI_API_KEY": "none", "ACCESS": "off"}


def of(target: str) -> dict[str, float]:
    """Return the ms that each package takes by itself, the slowest first (`python -X importtime`)."""
    folder = ROOT / "functions" / target
    command = [
        sys.executable,
        "-X",
        "importtime",
        "-c",
        f"import sys; sys.path.append({os.fspath(folder)!r}); import main",
    ]
    told = subprocess.run(command, env={**machine(), **SETTINGS}, capture_output=True, text=True, check=True).stderr
    taken_us: Counter[str] = Counter()
    for us, module in _LINE.findall(told):
        taken_us[_package(module)] += int(us)
    return {package: us / 1000 for package, us in taken_us.most_common()}


def _package(module: str) -> str:
    """Return `redis` for `redis.asyncio.client`; all modules of the standard library count as one package."""
    top = module.partition(".")[0]
    return "standard library" if top in sys.stdlib_module_names else top
