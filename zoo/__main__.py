"""`python -m zoo`, which is what launchers of several processes run."""

import sys

from zoo.cli import main

if __name__ == "__main__":
    sys.exit(main())
