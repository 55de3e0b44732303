"""Scores of label maps against true masks: IoU, precision and recall of each class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from psa_core.runtime.artifacts import IGNORE

COLUMNS = ["stage", "split", "class", "iou", "precision", "recall", "images"]


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


def scores(
    confusion: np.ndarray, names: Sequence[str], *, stage: str, split: str, images: int
) -> pd.DataFrame:
    """IoU, precision and recall of each class, and their means, in per cent.

    confusion: result of `confusion_matrix`. names: of the C classes, without background.
    stage, split, images: what was scored, and the number of images; repeated in each row.
    Returns one row per class, background first, and a last one, `mean`, whose IoU is the mIoU. The
    columns are COLUMNS. A score without pixels to divide by is NaN and left out of the mean: the
    IoU of a class that is neither in the masks nor predicted, the precision of one that is never
    predicted, the recall of one that is in no mask.
    """
    hits = np.diag(confusion).astype(float)
    true, predicted = confusion.sum(1), confusion.sum(0)
    with np.errstate(invalid="ignore"):
        table = pd.DataFrame(
            {
                "class": ["background", *names],
                "iou": 100 * hits / (true + predicted - hits),
                "precision": 100 * hits / predicted,
                "recall": 100 * hits / true,
            }
        )
    mean = table.drop(columns="class").mean()
    table.loc[len(table)] = {"class": "mean", **mean}
    return table.assign(stage=stage, split=split, images=images)[COLUMNS]
