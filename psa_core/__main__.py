"""`python -m psa_core`: the command `psa`."""

import sys

from psa_core.delivery.cli import main

sys.exit(main())
