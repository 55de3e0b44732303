"""The seed of all that the tests draw, and the configuration tests/tiny.yaml.

`PSA_TEST_SEED` gives another seed (`make test-anywhere` does): no test may depend on it.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import yaml

SEED = int(os.environ.get("PSA_TEST_SEED", "0"))
ROOT = Path(__file__).parents[1]


def _tiny_configuration() -> Path:
    """tests/tiny.yaml with the seed, on 12 training and 4 validation images of examples/scenes."""
    folder = Path(tempfile.mkdtemp(prefix="psa_tiny_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    config = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text()) | {"seed": SEED}
    lists = {"train_aug": f"{ROOT}/tests/tiny/train.txt", "val": f"{ROOT}/tests/tiny/val.txt"}
    config["dataset"] |= {"root": f"{ROOT}/examples/scenes", **lists}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(config))
    return folder / "tiny.yaml"


TINY_YAML = _tiny_configuration()
