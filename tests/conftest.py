"""Small images and one thread: what is tested is the arithmetic, not the speed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

torch.set_num_threads(1)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


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
def finished(tmp_path_factory) -> Path:
    """A folder in which the whole workflow has run on tests/tiny.yaml. Copy it to change it."""
    from dry_runs import TARGETS
    from test_workflow import snakemake

    folder = tmp_path_factory.mktemp("workflow")
    snakemake(folder, "--", *TARGETS)
    return folder
