"""Scores of label maps against true masks: IoU, precision and recall a class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from psa_core.artifacts import IGNORE

COLUMNS = ["stage", "split", "class", "iou", "precision", "recall", "images"]


def confusion_matrix(pairs: Iterable[tuple[np.ndarray, np.ndarray]], classes: int) -> np.ndarray:
    """Count pixels int64 [C + 1, C + 1] by true class (row) and predicted class (column).

    pairs: (true mask, prediction), uint8 [H, W] class indices each. Pixels that either of them
    ignores (255) are left out. Raises ValueError where the two differ in size or name no class.
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
    """One row a class (background first) and `mean`, the mIoU, with the columns `COLUMNS`.

    All scores in per cent. A class that occurs neither in the masks nor in the predictions has no
    score (NaN) and does not count in the mean.
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
