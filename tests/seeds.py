"""The seed of all that the tests draw: tiny trainings, random networks, noise.

`PSA_TEST_SEED` gives another one (`make test-anywhere` does): no test may depend on it.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import yaml

SEED = int(os.environ.get("PSA_TEST_SEED", "0"))


def _tiny_configuration() -> Path:
    """tests/tiny.yaml, or a copy with another seed."""
    path = Path(__file__).with_name("tiny.yaml")
    if not SEED:
        return path
    folder = Path(tempfile.mkdtemp(prefix="psa_tiny_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    config = yaml.safe_load(path.read_text()) | {"seed": SEED}
    (folder / path.name).write_text(yaml.safe_dump(config))
    return folder / path.name


TINY_YAML = _tiny_configuration()
