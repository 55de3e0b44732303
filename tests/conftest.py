"""Small images and one thread: what is tested is the arithmetic, not the speed."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image
from seeds import SEED

torch.set_num_threads(1)

# They take minutes: begun last, one of them would keep one worker busy when the others have done.
FIRST = ["test_workflow.py", "test_data_provenance.py", "test_presets.py", "test_reruns.py"]
FIRST += ["test_workflow_data.py", "test_devices.py", "test_resume.py"]


def pytest_collection_modifyitems(items):
    order = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture(autouse=True)
def seeded():
    """What a test draws depends on the seed alone, not on the tests before it."""
    torch.manual_seed(SEED)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7 + SEED)


@pytest.fixture
def write_images(tmp_path, rng):
    """Write noise images (sizes: height, width) as PNG files; returns their paths."""

    def write(count, size=(32, 32)):
        paths = [tmp_path / f"images/{i}.png" for i in range(count)]
        paths[0].parent.mkdir(exist_ok=True)
        for path in paths:
            noise = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(noise).save(path)
        return paths

    return write


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id) -> Path:
    """A folder in which the whole workflow has run on tests/tiny.yaml. Copy it to change it."""
    from dry_runs import TARGETS
    from test_workflow import snakemake

    base = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        base = base.parent  # pytest's processes share one run
    folder = base / "workflow"
    with FileLock(base / "workflow.lock"):
        if not folder.exists():
            unfinished = base / "unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            snakemake(unfinished, "--", *TARGETS)
            unfinished.rename(folder)
    return folder
