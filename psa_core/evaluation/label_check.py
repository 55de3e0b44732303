"""Label check: find suspicious pseudo labels without true masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from psa_core.datasets.index import ImageRow

# Per cent of object above which a label covers the whole image, as 4 of 1,000 true masks of VOC do.
FLOODED = 98.0
COLUMNS = ["image", "object", "empty", "flooded", "margin", "class", "share", "missing"]


def check(row: ImageRow, labels: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    """Check one image's pseudo label; one row per image-level label, none without labels.

    labels: uint8 [H, W] class indices. scores: float [K + 1, h, w], at least 0, those of the walk.
    Returns COLUMNS. The same in each row, for the image: object, per cent of pixels that are not
    background; empty, object is 0; flooded, object is above FLOODED; margin, best minus second-best
    score, normalised to sum to 1, averaged over cells. For the class: share, its per cent of the
    pixels; missing, share is 0.
    """
    if not row.classes:  # its label is right to be empty
        return pd.DataFrame(columns=COLUMNS)
    pixels = np.bincount(labels.ravel(), minlength=256)
    foreground = 100 * (labels.size - pixels[0]) / labels.size
    total = scores.sum(0, keepdims=True)
    second, best = np.sort(scores / np.where(total > 0, total, 1), axis=0)[-2:]
    return pd.DataFrame(
        {
            "image": row.image,
            "object": foreground,
            "empty": foreground == 0,
            "flooded": foreground > FLOODED,
            "margin": (best - second).mean(),
            "class": row.labels,
            "share": 100 * pixels[list(row.classes)] / labels.size,
            "missing": pixels[list(row.classes)] == 0,
        },
        columns=COLUMNS,
    )


def joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables of `check` in one.

    An empty table, of images without classes, would change the types of the columns.
    """
    return pd.concat([table for table in tables if len(table)] or tables[:1])
