"""Scores of a stage from its files: label maps, or class maps with the background of eq. 2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from psa_core.datasets.index import read_images
from psa_core.errors import UserError
from psa_core.evaluation import metrics
from psa_core.method import maps
from psa_core.runtime.artifacts import REBUILD, read_array, read_label_map

# The label map of an image, given its id and the size [height, width] of its mask.
Label = Callable[[str, tuple[int, int]], np.ndarray]


def score_images(
    images: Sequence[str], names: Sequence[str], masks: str, label: Label, *, stage: str, split: str
) -> pd.DataFrame:
    """`metrics.scores` of these images.

    names: of the C classes, without background. masks: pattern of the files of true masks,
    "masks/{}.png". label: see `of_class_maps` and `of_label_maps`. stage, split: what is scored.
    Raises UserError for damaged files; ValueError where mask and label differ in size.
    """
    true = ((image, read_label_map(masks.format(image), classes=len(names))) for image in images)
    pairs = ((mask, label(image, mask.shape)) for image, mask in true)
    matrices = metrics.confusion_matrices(pairs, len(names))
    return metrics.scores(matrices, names, stage=stage, split=split, images=len(images))


def of_label_maps(pattern: str, classes: int) -> Label:
    """Labels that are files, "results/walk/labels/{}.png". classes: number of object classes."""
    return lambda image, size: read_label_map(pattern.format(image), size, classes)


def of_class_maps(pattern: str, tables: Sequence[str | Path], alpha: float) -> Label:
    """Labels from files of class maps, "results/cam/maps/{}.npy".

    tables: of `index.describe_images`. alpha: exponent of the background (eq. 2).
    The label of an image raises UserError where the tables have no row of it.
    """
    rows = {row.image: row for row in read_images(tables)}

    def label(image: str, size: tuple[int, int]) -> np.ndarray:
        if image not in rows:
            raise UserError(f"{', '.join(map(str, tables))}: no row of {image}; {REBUILD}")
        classes = rows[image].classes
        scores = maps.with_background(read_array(pattern.format(image), len(classes)), alpha)
        return maps.arg_max(scores, classes, size)

    return label
