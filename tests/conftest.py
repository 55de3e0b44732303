"""Small images and one thread: what is tested is the arithmetic, not the speed."""

import gc
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import HealthCheck, settings
from PIL import Image
from seeds import SEED
from small_data import Stubbed, stubbed_run
from workflow_runs import TARGETS, snakemake

from psa_core.delivery.images import cores

torch.set_num_threads(1)

# The same examples each time; PSA_TEST_EXAMPLES=N draws N new ones for each property (make fuzz).
EXAMPLES = os.environ.get("PSA_TEST_EXAMPLES")
settings.register_profile(
    "psa",
    max_examples=int(EXAMPLES or 40),
    derandomize=EXAMPLES is None,
    deadline=None,
    database=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
        HealthCheck.data_too_large,
    ],
)
settings.load_profile("psa")

# They take minutes: begun last, one of them would keep one worker busy when the others have done.
FIRST = ["test_workflow.py", "test_reruns.py", "test_data_changes.py", "test_code_changes.py"]
FIRST += ["test_presets.py", "test_workflow_data.py", "test_workflow_sweep.py", "test_devices.py"]


def pytest_collection_modifyitems(items):
    order = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """One more than there are cores: runs of the workflow wait for their jobs."""
    return cores() + 1


def pytest_collection_finish():
    gc.freeze()  # torch and all tests: collecting them again and again takes a tenth of the time


@pytest.fixture
def restored_logging():
    """A stage sets up the process's logging; put it back for other tests."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)


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
def shared(tmp_path_factory, worker_id):
    """A function that makes a folder once for all of pytest's processes.

    shared(name, make): make(folder) fills it; returns the folder.
    """
    base = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        base = base.parent

    def once(name: str, make: Callable[[Path], object]) -> Path:
        folder = base / name
        with FileLock(base / f"{name}.lock"):
            if not (folder / "made").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                (folder / "made").touch()
        return folder

    return once


@pytest.fixture(scope="session")
def finished(shared) -> Path:
    """A folder in which the whole workflow has run on tests/tiny.yaml. Copy it to change it."""
    return shared("workflow", lambda folder: snakemake(folder, "--", *TARGETS))


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    """A copy of the finished folder, to change."""
    return Path(shutil.copytree(finished, tmp_path / "copy", symlinks=True))


@pytest.fixture(scope="session")
def stubbed(shared) -> Stubbed:
    """A finished run of stubs on a folder of eight images. Copy it to change it."""
    base = shared("stubbed", lambda base: stubbed_run(base, devkit=False))
    return Stubbed(base / "folder", base / "project")


@pytest.fixture(scope="session")
def stubbed_voc(shared) -> Stubbed:
    """The same on a devkit of VOC."""
    base = shared("stubbed_voc", lambda base: stubbed_run(base, devkit=True))
    return Stubbed(base / "voc", base / "project_voc")


@pytest.fixture
def restored():
    """Put back the logging and the threads of the process, which a command of `psa` sets."""
    root, threads = logging.getLogger(), torch.get_num_threads()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    torch.set_num_threads(threads)
