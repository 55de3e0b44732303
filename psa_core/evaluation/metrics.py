"""Scores of label maps against true masks, and where their IoU is lost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import ndimage

from psa_core.runtime.artifacts import IGNORE

LOSSES = ["missed", "flooded", "confused", "border"]
COLUMNS = ["stage", "split", "class", "iou", "precision", "recall", *LOSSES, "images"]
BORDER = 0.02  # of the longest side: pixels this close to a true border belong to its band


def confusion_matrix(pairs: Iterable[tuple[np.ndarray, np.ndarray]], classes: int) -> np.ndarray:
    """Count the pixels of several images by true class (row) and predicted class (column).

    pairs: (true mask, predicted label map), both uint8 [H, W] class indices. Pixels with 255 in
    either of them are left out. classes: number of object classes C.
    Returns int64 [C + 1, C + 1], background first.
    Raises ValueError if the two differ in size or hold an index above C other than 255.
    """
    labels = classes + 1
    total = np.zeros((labels, labels), np.int64)
    for true, predicted in pairs:
        if true.shape != predicted.shape:
            raise ValueError(f"mask of {true.shape} pixels, prediction of {predicted.shape}")
        counted = (true != IGNORE) & (predicted != IGNORE)
        greatest = max(true[counted].max(initial=0), predicted[counted].max(initial=0))
        if greatest > classes:
            raise ValueError(f"class index {greatest} in a label map, there are {classes} classes")
        index = true[counted].astype(np.int64) * labels + predicted[counted]
        total += np.bincount(index, minlength=labels**2).reshape(labels, labels)
    return total


def confusion_matrices(pairs: Iterable[tuple[np.ndarray, np.ndarray]], classes: int) -> np.ndarray:
    """`confusion_matrix` of all pixels, and of those in `border_band`; int64 [2, C + 1, C + 1]."""
    total = np.zeros((2, classes + 1, classes + 1), np.int64)
    for true, predicted in pairs:
        in_band = np.where(border_band(true), true, IGNORE)
        total[0] += confusion_matrix([(true, predicted)], classes)
        total[1] += confusion_matrix([(in_band, predicted)], classes)
    return total


def border_band(true: np.ndarray) -> np.ndarray:
    """Pixels of a true mask that have another class nearby; bool [H, W].

    true: uint8 [H, W] class indices; 255 is not a class. Nearby: within a square that reaches
    BORDER of the longest side, but at least one pixel, in each direction.
    """
    size = 2 * max(1, round(BORDER * max(true.shape))) + 1
    ignored = true == IGNORE
    greatest = ndimage.maximum_filter(np.where(ignored, 0, true), size, mode="nearest")
    least = ndimage.minimum_filter(true, size, mode="nearest")  # 255 is never the least of several
    return (greatest > least) & ~ignored


def scores(
    matrices: np.ndarray, names: Sequence[str], *, stage: str, split: str, images: int
) -> pd.DataFrame:
    """Scores of each class, where its IoU is lost, and the means over the classes, in per cent.

    matrices: result of `confusion_matrices`. names: of the C classes, without background.
    stage, split, images: what was scored, and the number of images; repeated in each row.
    Returns one row per class, background first, and a last one, `mean`, whose IoU is the mIoU. The
    columns are COLUMNS. Those of LOSSES are shares of the union of a class in the masks and in the
    label maps: together with its IoU they sum to 100. A wrong pixel counts as `border` in the
    border band; elsewhere as `missed` if an object became background, `flooded` if background
    became an object, `confused` if an object became another. NaN is left out of the means.
    """
    confusion, band = matrices
    table = class_scores(confusion, names)
    union = confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
    for kind, pixels in _errors(confusion, band).items():
        with np.errstate(invalid="ignore"):
            table[kind] = 100 * pixels / union
    mean = table.drop(columns="class").mean()
    table.loc[len(table)] = {"class": "mean", **mean}
    return table.assign(stage=stage, split=split, images=images)[COLUMNS]


def class_scores(confusion: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """IoU, precision and recall of each class, background first, in per cent.

    confusion: result of `confusion_matrix`. names: of the C classes, without background.
    A score without pixels to divide by is NaN: the IoU of a class that is neither in the masks nor
    predicted, the precision of one that is never predicted, the recall of one that is in no mask.
    """
    hits = np.diag(confusion).astype(float)
    true, predicted = confusion.sum(1), confusion.sum(0)
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(
            {
                "class": ["background", *names],
                "iou": 100 * hits / (true + predicted - hits),
                "precision": 100 * hits / predicted,
                "recall": 100 * hits / true,
            }
        )


def _errors(confusion: np.ndarray, band: np.ndarray) -> dict[str, np.ndarray]:
    """Wrong pixels of each kind, for each class: those that have it in the mask or the label."""
    wrong = ~np.eye(len(confusion), dtype=bool)
    object_true, object_predicted = np.indices(confusion.shape) > 0
    kinds = {
        "missed": (confusion - band) * (wrong & ~object_predicted),
        "flooded": (confusion - band) * (wrong & ~object_true),
        "confused": (confusion - band) * (wrong & object_true & object_predicted),
        "border": band * wrong,
    }
    return {kind: pixels.sum(0) + pixels.sum(1) for kind, pixels in kinds.items()}
