"""The seed of all that the tests draw, and the configuration tests/tiny.yaml.

`PSA_TEST_SEED` gives another seed (`make test-anywhere` does): no test may depend on it.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml

SEED = int(os.environ.get("PSA_TEST_SEED", "0"))
ROOT = Path(__file__).parents[1]


KEPT = Path(tempfile.gettempdir()) / f"psa_tests_{os.getuid()}"  # for later processes and runs


def kept(name: str, source: str, make: Callable[[str], bytes]) -> Path:
    """A file in KEPT with what `make` makes of a text; the text's digest begins its name.

    As in all of this module, nothing of psa_core: a test may be about a changed copy of it.
    """
    KEPT.mkdir(exist_ok=True)
    path = KEPT / f"{hashlib.sha256(source.encode()).hexdigest()}_{name}"
    if not path.exists():
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_bytes(make(source))
        partial.replace(path)
    return path


def _tiny_configuration() -> Path:
    """tests/tiny.yaml with the seed, on 12 training and 4 validation images of examples/scenes."""
    config = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text()) | {"seed": SEED}
    lists = {"train_aug": f"{ROOT}/tests/tiny/train.txt", "val": f"{ROOT}/tests/tiny/val.txt"}
    config["dataset"] |= {"root": f"{ROOT}/examples/scenes", **lists}
    return kept("tiny.yaml", yaml.safe_dump(config), str.encode)


TINY_YAML = _tiny_configuration()
