"""Disk space: what the results of a run take, against what is free."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from psa_core.datasets.index import ImageRow, resized_size

log = logging.getLogger(__name__)

# Bytes, rounded up from the table in docs/performance.md: affinities and scores for each pixel that
# the networks see, PNG files for each pixel of the image.
OF_PIXEL_SEEN, OF_PIXEL = 1.0, 0.1
ESTIMATED = ("**/*.npy", "**/*.png", "affinity/edges/*.h5")


def warn_if_short(images: Sequence[ImageRow], longest_side: int | None, folder: str | Path) -> None:
    """Log a warning if the results of these images will not find room.

    images: those of `train_aug`. longest_side: to which they are resized, in pixels.
    folder: of the results. What is there of those that the estimate is about is kept or replaced.
    The estimate is for strides and neighbourhoods as in the defaults, without the networks.
    """
    needed = 0.0
    for row in images:
        height, width = resized_size(row.height, row.width, longest_side)
        needed += OF_PIXEL_SEEN * height * width + OF_PIXEL * row.height * row.width
    there = 0
    for path in (path for pattern in ESTIMATED for path in Path(folder).glob(pattern)):
        with suppress(FileNotFoundError):  # a temporary file of another job
            there += path.stat().st_size
    free = shutil.disk_usage(folder).free
    if needed - there > free:
        log.warning(
            "the results take about %.1f GiB more, but %.1f GiB are free in %s: make room, or the "
            "run stops when the disk is full (nothing finished is lost)",
            (needed - there) / 2**30,
            free / 2**30,
            os.path.realpath(folder),
        )
