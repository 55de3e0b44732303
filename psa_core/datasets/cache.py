"""Training images decoded once: one HDF5 file with an array for each, under its path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from psa_core.artifacts import REBUILD, remove_left, replacing
from psa_core.datasets.index import read_image


def write_cache(
    cache: str | Path,
    paths: Sequence[str],
    *,
    longest_side: int | None,
    threads: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Decode images into one file, uint8 [H, W, 3] each, a chunk an image.

    longest_side: larger images are reduced to it, in pixels; None keeps the size of all.
    progress: called with (images done, images in all) after each image.
    Raises DatasetError naming an image that cannot be decoded.
    """

    def read(path):
        return reduced(read_image(path), longest_side)

    remove_left(cache)
    with (
        replacing(cache) as temporary,
        h5py.File(temporary, "w") as file,
        ThreadPoolExecutor(threads) as readers,
    ):
        file.attrs["longest_side"] = str(longest_side)
        done = 0
        while done < len(paths):  # a few at a time, to bound the memory
            some = paths[done : done + 4 * threads]
            for path, image in zip(some, readers.map(read, some), strict=True):
                file.create_dataset(path, data=image, chunks=image.shape)
                done += 1
                if progress:
                    progress(done, len(paths))


def reduced(image: np.ndarray, longest_side: int | None) -> np.ndarray:
    """An image uint8 [H, W, 3] at most so large: each pixel averages all that it covers."""
    height, width = image.shape[:2]
    scale = (longest_side or max(height, width)) / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def read_cached(cache: str | Path, path: str | Path) -> np.ndarray:
    """One image of the cache, uint8 [H, W, 3].

    The file is opened each time (0.2 ms), so that no process inherits it open from another.
    Raises ValueError naming a file that is broken or lacks the image.
    """
    try:
        with h5py.File(cache) as file:
            return file[str(path)][()]
    except (KeyError, OSError) as error:
        raise ValueError(f"{cache}: no readable image {path} ({error}); {REBUILD}") from error


def longest_side_of(cache: str | Path) -> str:
    """The `longest_side` that a cache was written with, as text.

    Raises ValueError naming a file that is broken.
    """
    try:
        with h5py.File(cache) as file:
            return file.attrs["longest_side"]
    except (KeyError, OSError) as error:
        raise ValueError(f"{cache}: no readable cache ({error}); {REBUILD}") from error
