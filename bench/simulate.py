"""What a load asks of each part, by a simulation with measured service times: `python -m bench.simulate`.

Prints docs/scale.md: a thousand, a hundred thousand and ten million sketches a day. `--write` puts it there.
`--check` runs the laptop's fleet under a known load, measures its service times, simulates the same arrivals, and
fails where a median differs by more than 20 %.
"""

from __future__ import annotations

import argparse
import sys

from bench import laptop, pages, scale


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.simulate", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/scale.md")
    parser.add_argument("--check", action="store_true", help="compare medians with the laptop's fleet")
    options = parser.parse_args()
    if options.check:
        return laptop.check()
    text = scale.page()
    print(text)
    if options.write:
        pages.put("scale.md", "scale", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
