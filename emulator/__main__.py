"""`python -m emulator`, as `make run` calls it; Ctrl-C ends it without a traceback even while it is being imported."""

import sys

if __name__ == "__main__":
    try:
        from emulator.main import main

        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
