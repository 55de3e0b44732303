"""The seed of all that the tests draw, and the configuration tests/tiny.yaml.

`PSA_TEST_SEED` gives another seed (`make test-anywhere` does): no test may depend on it.
"""

import hashlib
import os
import tempfile
from pathlib import Path

import yaml

SEED = int(os.environ.get("PSA_TEST_SEED", "0"))
ROOT = Path(__file__).parents[1]


KEPT = Path(tempfile.gettempdir()) / f"psa_tests_{os.getuid()}"  # for later processes and runs


def kept(name: str, contents: bytes) -> Path:
    """A file with these contents in KEPT; its name begins with the digest of the contents."""
    KEPT.mkdir(exist_ok=True)
    path = KEPT / f"{hashlib.sha256(contents).hexdigest()[:16]}_{name}"
    if not path.exists():
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_bytes(contents)
        partial.replace(path)
    return path


def _tiny_configuration() -> Path:
    """tests/tiny.yaml with the seed, on 12 training and 4 validation images of examples/scenes."""
    config = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text()) | {"seed": SEED}
    lists = {"train_aug": f"{ROOT}/tests/tiny/train.txt", "val": f"{ROOT}/tests/tiny/val.txt"}
    config["dataset"] |= {"root": f"{ROOT}/examples/scenes", **lists}
    return kept("tiny.yaml", yaml.safe_dump(config).encode())


TINY_YAML = _tiny_configuration()
