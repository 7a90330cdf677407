"""`python -m cli`; Ctrl-C ends it without a traceback even while it is still being imported."""

import sys

if __name__ == "__main__":
    try:
        from cli.main import run

        sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
