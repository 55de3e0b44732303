"""Training images decoded once, in one HDF5 file with one array per image, named by its path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np

from psa_core.datasets.decode import read_image
from psa_core.datasets.formats.reading import AS_STORED, Reading
from psa_core.datasets.index import resized
from psa_core.errors import UserError
from psa_core.runtime.artifacts import REBUILD, remove_left, replacing


def write_cache(
    cache: str | Path,
    paths: Sequence[str],
    *,
    longest_side: int | None,
    threads: int,
    reading: Reading = AS_STORED,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Decode images into one file, each as uint8 [H, W, 3] in one chunk.

    longest_side: images with a longer side are reduced to it, in pixels; None reduces none.
    reading: of the images. progress: called with (images done, total) after each image.
    Raises DatasetError naming an image that cannot be decoded.
    """

    def read(path: str) -> np.ndarray:
        return reduced(read_image(path, reading), longest_side)

    remove_left(cache)
    with (
        replacing(cache) as temporary,
        h5py.File(temporary, "w") as file,
        ThreadPoolExecutor(threads) as readers,
    ):
        file.attrs["longest_side"] = str(longest_side)
        done = 0
        while done < len(paths):  # a few at a time, to limit the memory
            some = paths[done : done + 4 * threads]
            for path, image in zip(some, readers.map(read, some), strict=True):
                file.create_dataset(path, data=image, chunks=image.shape)
                done += 1
                if progress:
                    progress(done, len(paths))


def reduced(image: np.ndarray, longest_side: int | None) -> np.ndarray:
    """An image, uint8 [H, W, 3], reduced to a longest side in pixels; never enlarged."""
    if longest_side and longest_side < max(image.shape[:2]):
        return resized(image, longest_side)
    return image


def read_cached(cache: str | Path, path: str | Path) -> np.ndarray:
    """One image of the cache, uint8 [H, W, 3].

    The file is opened each time (0.2 ms), so that forked processes do not share an open file.
    Raises UserError naming a file that is broken or lacks the image.
    """
    try:
        with h5py.File(cache) as file:
            return file[str(path)][()]
    except (KeyError, OSError) as error:
        raise UserError(f"{cache}: no readable image {path} ({error}); {REBUILD}") from error


def longest_side_of(cache: str | Path) -> str:
    """The `longest_side` that a cache was written with, as text ("None" for None).

    Raises UserError naming a broken file.
    """
    try:
        with h5py.File(cache) as file:
            return file.attrs["longest_side"]
    except (KeyError, OSError) as error:
        raise UserError(f"{cache}: no readable cache ({error}); {REBUILD}") from error
