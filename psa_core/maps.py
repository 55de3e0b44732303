"""Class maps as arrays: the background map, resizing, arg max. No torch, so it loads at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image


def with_background(maps: np.ndarray, alpha: float) -> np.ndarray:
    """Put the background map (1 - max_c M_c)^alpha first (paper, eq. 2).

    maps: class activation maps float [K, h, w] in [0, 1]. Returns float [K + 1, h, w].
    """
    background = (1 - maps.max(0, keepdims=True)).clip(0, 1) ** alpha
    return np.concatenate([background, maps])


def resize(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize maps [K, h, w] to [K, *size], float32.

    Bilinear with cell centres kept in place (align_corners=False); when shrinking, each cell
    averages all that it covers.
    """
    if maps.shape[1:] == tuple(size):
        return maps.astype(np.float32)
    height, width = size
    return np.stack(
        [
            np.asarray(Image.fromarray(m).resize((width, height), Image.Resampling.BILINEAR))
            for m in maps.astype(np.float32)
        ]
    )


def arg_max(scores: np.ndarray, classes: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """Label map uint8 [H, W] of scores [K + 1, h, w] (background first), upsampled to `size`.

    classes: the K class indices that the maps after the background stand for.
    """
    index = np.array([0, *classes], np.uint8)
    return index[resize(scores, size).argmax(0)]
