"""Predictions for the images of an index: read ahead, in batches or in parallel."""

from __future__ import annotations

import sys
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch

from psa_core.datasets.index import ImageRow, resized, resized_size
from psa_core.errors import UserError

BATCH_PIXELS = 1_500_000  # before scaling; eight images of PASCAL VOC
READERS = 2
# One image does not keep all cores of a CPU busy: two images at once, each on half of the cores,
# take 0.85 (class maps at three scales) to 0.63 (AffinityNet) of the time that they take in turn.
SIDE_BY_SIDE = 2
Result = TypeVar("Result")


def predictions(
    predict: Callable[[Sequence[ImageRow], Sequence[np.ndarray]], Iterable[Result]],
    images: Sequence[ImageRow],
    device: torch.device,
    *,
    longest_side: int | None = None,
    batch: int | None = None,
    streams: int = SIDE_BY_SIDE,
) -> Iterator[tuple[ImageRow, Result]]:
    """(row, prediction) of each row of an index.

    predict: takes rows and their images, uint8 [H, W, 3] of equal size; returns one result per row.
    It runs in other threads than the caller.
    longest_side: images are first resized to it, in pixels; None: no resizing.
    device: a GPU gets batches of up to BATCH_PIXELS, which changes the order of the rows. On a CPU
    batches are not faster; it gets `streams` images at once, which share torch's threads.
    batch: maximum number of images per batch, in place of BATCH_PIXELS.
    Meanwhile the next READERS batches are decoded. An error in predict gets a note of its images.
    Raises DatasetError naming an image that cannot be decoded, ValueError naming one whose size
    differs from the index.
    """
    pixels = sys.maxsize if batch else BATCH_PIXELS if device.type == "cuda" else 1
    waiting: deque[tuple[list[ImageRow], Future]] = deque()
    with ThreadPoolExecutor(READERS) as readers, side_by_side(device, streams) as workers:
        for rows in batches(images, pixels, batch, longest_side):
            reading = readers.submit(_read, rows, longest_side)
            waiting.append((rows, workers.submit(_predict, predict, rows, reading)))
            if len(waiting) > READERS + streams:
                yield from _results(*waiting.popleft())
        while waiting:
            yield from _results(*waiting.popleft())


def side_by_side(device: torch.device, streams: int = SIDE_BY_SIDE) -> ThreadPoolExecutor:
    """Threads for a device: one for a GPU, up to `streams` that share the cores of a CPU."""
    threads = torch.get_num_threads()
    streams = 1 if device.type == "cuda" else min(streams, threads)
    return ThreadPoolExecutor(streams, "", torch.set_num_threads, (threads // streams,))


def _read(rows: Sequence[ImageRow], longest_side: int | None) -> list[np.ndarray]:
    images = []
    for row in rows:
        image = row.read()
        if image.shape[:2] != (row.height, row.width):
            raise UserError(
                f"{row.path}: {image.shape[1]} x {image.shape[0]} pixels, but {row.width} x "
                f"{row.height} when it was indexed: the file changed during the run; start the "
                "workflow again"
            )
        images.append(resized(image, longest_side))
    return images


def _predict(predict: Callable, rows: Sequence[ImageRow], reading: Future) -> Iterable:
    images = reading.result()
    try:
        return predict(rows, images)
    except Exception as error:
        error.add_note(f"at {', '.join(row.image for row in rows)}")
        raise


def _results(rows: Sequence[ImageRow], predicting: Future) -> Iterator[tuple[ImageRow, Any]]:
    return zip(rows, predicting.result(), strict=True)


def batches(
    images: Sequence[ImageRow],
    pixels: int,
    most: int | None = None,
    longest_side: int | None = None,
) -> Iterator[list[ImageRow]]:
    """Group rows of equal size into batches of at most `pixels` pixels, but at least one image.

    most: maximum number of images per batch.
    longest_side: pixels are counted after resizing to it; None: no resizing.
    """
    open_groups: defaultdict[tuple[int, int], list[ImageRow]] = defaultdict(list)
    for row in images:
        group = open_groups[row.height, row.width]
        group.append(row)
        height, width = resized_size(row.height, row.width, longest_side)
        if len(group) == most or (len(group) + 1) * height * width > pixels:
            yield open_groups.pop((row.height, row.width))
    yield from open_groups.values()
