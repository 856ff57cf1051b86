"""`python -m ssps_lib` is the command `ssps`."""

import sys

from ssps_lib.cli import main

if __name__ == "__main__":
    sys.exit(main())
