"""Predictions for the images of an index: those of one size in batches, read ahead of use."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import torch

from psa_core.datasets.index import read_image

BATCH_PIXELS = 1_500_000  # before scaling: eight images of PASCAL VOC
READERS = 2


def predictions(
    predict: Callable[[Sequence[tuple], Sequence[np.ndarray]], Sequence[np.ndarray]],
    images: pd.DataFrame,
    device: torch.device,
) -> Iterator[tuple[tuple, np.ndarray]]:
    """(row, prediction) of each row of an index.

    predict: takes rows and their images, uint8 [H, W, 3] of one size; returns a result for each.
    device: a GPU gets batches of BATCH_PIXELS, so that the rows' order is not kept; a CPU, which is
    no faster by them, each image alone.
    The next READERS batches are decoded meanwhile. Raises DatasetError naming an image that cannot
    be decoded, ValueError naming one whose size is not that of the index.
    """
    waiting = deque()
    with ThreadPoolExecutor(READERS) as readers:
        for rows in batches(images, BATCH_PIXELS if device.type == "cuda" else 1):
            waiting.append((rows, readers.submit(_read, rows)))
            if len(waiting) > READERS:
                yield from _predicted(predict, *waiting.popleft())
        while waiting:
            yield from _predicted(predict, *waiting.popleft())


def _read(rows: Sequence[tuple]) -> list[np.ndarray]:
    images = []
    for row in rows:
        image = read_image(row.path)
        if image.shape[:2] != (row.height, row.width):
            raise ValueError(
                f"{row.path}: {image.shape[1]} x {image.shape[0]} pixels, but {row.width} x "
                f"{row.height} when the data set was checked: make the index again (snakemake "
                "--forcerun prepare_dataset)"
            )
        images.append(image)
    return images


def _predicted(predict: Callable, rows: Sequence[tuple], reading: object) -> Iterator[tuple]:
    return zip(rows, predict(rows, reading.result()), strict=True)


def batches(images: pd.DataFrame, pixels: int) -> Iterator[list[tuple]]:
    """Rows of an index in groups of one size, of at most so many pixels but at least one image."""
    open_groups = defaultdict(list)
    for row in images.itertuples():
        group = open_groups[row.height, row.width]
        group.append(row)
        if (len(group) + 1) * row.height * row.width > pixels:
            yield open_groups.pop((row.height, row.width))
    yield from open_groups.values()
