"""Predictions for the images of an index: read ahead of use, in batches or side by side."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pandas as pd
import torch

from psa_core.datasets.index import read_image

BATCH_PIXELS = 1_500_000  # before scaling: eight images of PASCAL VOC
READERS = 2
# A layer of one image does not fill all cores of a CPU: two images, each with half of the cores,
# take 0.85 (class maps at three scales) to 0.63 (AffinityNet) of the time of one after the other.
SIDE_BY_SIDE = 2


def predictions(
    predict: Callable[[Sequence[tuple], Sequence[np.ndarray]], Sequence[np.ndarray]],
    images: pd.DataFrame,
    device: torch.device,
) -> Iterator[tuple[tuple, np.ndarray]]:
    """(row, prediction) of each row of an index.

    predict: takes rows and their images, uint8 [H, W, 3] of one size; returns a result for each.
    It runs in threads of its own.
    device: a GPU gets batches of BATCH_PIXELS, so that the rows' order is not kept; a CPU, which is
    no faster by them, SIDE_BY_SIDE images at once, which share torch's threads.
    The next READERS batches are decoded meanwhile. An error of predict has the images as a note.
    Raises DatasetError naming an image that cannot be decoded, ValueError naming one whose size is
    not that of the index.
    """
    threads = torch.get_num_threads()
    pixels, streams = (
        (BATCH_PIXELS, 1) if device.type == "cuda" else (1, min(SIDE_BY_SIDE, threads))
    )
    waiting = deque()
    with (
        ThreadPoolExecutor(READERS) as readers,
        ThreadPoolExecutor(streams, "", torch.set_num_threads, (threads // streams,)) as workers,
    ):
        for rows in batches(images, pixels):
            reading = readers.submit(_read, rows)
            waiting.append((rows, workers.submit(_predict, predict, rows, reading)))
            if len(waiting) > READERS + streams:
                yield from _results(*waiting.popleft())
        while waiting:
            yield from _results(*waiting.popleft())


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


def _predict(predict: Callable, rows: Sequence[tuple], reading: Future) -> Sequence[np.ndarray]:
    images = reading.result()
    try:
        return predict(rows, images)
    except Exception as error:
        error.add_note(f"at {', '.join(row.image for row in rows)}")
        raise


def _results(rows: Sequence[tuple], predicting: Future) -> Iterator[tuple[tuple, np.ndarray]]:
    return zip(rows, predicting.result(), strict=True)


def batches(images: pd.DataFrame, pixels: int) -> Iterator[list[tuple]]:
    """Rows of an index in groups of one size, of at most so many pixels but at least one image."""
    open_groups = defaultdict(list)
    for row in images.itertuples():
        group = open_groups[row.height, row.width]
        group.append(row)
        if (len(group) + 1) * row.height * row.width > pixels:
            yield open_groups.pop((row.height, row.width))
    yield from open_groups.values()
