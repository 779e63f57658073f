"""Run the command line as ``python -m detectorkit``."""

import sys

from detectorkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
