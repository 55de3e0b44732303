"""Class maps as arrays: background, resizing, arg max. Without torch, so that it imports fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from PIL import Image


def with_background(maps: np.ndarray, alpha: float | Literal["auto"]) -> np.ndarray:
    """Prepend the background map (1 - max_c M_c)^alpha (paper, eq. 2).

    maps: class activation maps float [K, h, w] in [0, 1].
    alpha: at least 0; "auto" is `otsu_exponent(maps)`.
    Returns float [K + 1, h, w] in [0, 1], background first; without classes it is 1.
    """
    exponent = otsu_exponent(maps) if alpha == "auto" else alpha
    background = (1 - maps.max(0, keepdims=True, initial=0)).clip(0, 1) ** exponent
    return np.concatenate([background, maps])


def otsu_exponent(maps: np.ndarray) -> float:
    """The exponent at which the background of eq. 2 wins below Otsu's threshold.

    maps: float [K, h, w] in [0, 1]. Otsu's threshold x of their maximum over the K classes, divided
    by its greatest value, separates object from background without a mask. The background map
    equals the class map there if (1 - x)^alpha = x.
    Returns alpha > 0; 1 for maps that are constant.
    """
    best = maps.max(0, initial=0).astype(np.float64)
    if best.min() == best.max():
        return 1.0
    threshold = otsu_threshold(best / best.max())
    return float(np.log(threshold) / np.log1p(-threshold))


def otsu_threshold(values: np.ndarray) -> float:
    """Otsu's threshold (1979), which minimises the variance within the two parts.

    values: float of any shape, not all equal. Returns a number between two of them.
    """
    ordered = np.sort(values, axis=None)
    total = np.cumsum(ordered)
    below = np.arange(1, ordered.size)
    above = ordered.size - below
    difference = total[:-1] / below - (total[-1] - total[:-1]) / above
    split = int(np.argmax(below * above * difference**2))
    return float(ordered[split : split + 2].mean())


def resize(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize maps float [K, h, w] to float32 [K, *size], size = (height, width).

    Bilinear with cell centres kept in place (align_corners=False); when shrinking, each cell is a
    weighted mean of all cells that it covers.
    """
    if maps.shape[1:] == tuple(size):
        return maps.astype(np.float32)
    if not len(maps):  # of an image without classes
        return np.zeros((0, *size), np.float32)
    height, width = size
    return np.stack(
        [
            np.asarray(Image.fromarray(m).resize((width, height), Image.Resampling.BILINEAR))
            for m in maps.astype(np.float32)
        ]
    )


def arg_max(scores: np.ndarray, classes: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """Label map of the best score of each pixel.

    scores: float [K + 1, h, w], background first. classes: the K class indices.
    size: (H, W), to which the scores are resized first.
    Returns uint8 [H, W] class indices, 0 background; of equal scores the first wins.
    """
    index = np.array([0, *classes], np.uint8)
    return index[resize(scores, size).argmax(0)]
