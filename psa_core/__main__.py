"""`python -m psa_core` is the command `psa`."""

import sys

from psa_core.delivery.cli import main

if __name__ == "__main__":
    sys.exit(main())
