"""The Python that runs the scripts, as the shell has to read it."""

import shlex
import sys
from pathlib import Path

# Snakemake inserts this path unquoted, so the shell would split it at a space.
if Path(sys.executable).exists():  # not quoted yet
    sys.executable = shlex.quote(sys.executable)
