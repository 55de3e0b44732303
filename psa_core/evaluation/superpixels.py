"""Class maps averaged over superpixels: the baseline for the random walk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from skimage.segmentation import slic

from psa_core.method.maps import arg_max, resize, with_background


def superpixel_labels(
    image: np.ndarray,
    maps: np.ndarray,
    classes: Sequence[int],
    *,
    segments: int,
    compactness: float,
    alpha: float,
) -> np.ndarray:
    """Label map from class maps averaged over superpixels (SLIC, Achanta et al. 2012).

    image: uint8 [H, W, 3]. maps: class activation maps float [K, h, w] in [0, 1].
    classes: the K class indices. segments: approximate number of superpixels.
    compactness: weight of spatial distance relative to colour distance in Lab.
    alpha: exponent of the background (paper, eq. 2).
    Returns uint8 [H, W] class indices, the same for all pixels of a superpixel.
    """
    segment = slic(image, n_segments=segments, compactness=compactness, start_label=0)
    pooled = pool(resize(maps, image.shape[:2]), segment)
    return arg_max(with_background(pooled, alpha), classes, image.shape[:2])


def pool(maps: np.ndarray, segment: np.ndarray) -> np.ndarray:
    """Replace each pixel of maps by the mean over its segment.

    maps: float [K, H, W]. segment: int [H, W], all of 0..S - 1 occur. Returns float64 [K, H, W].
    """
    if not len(maps):
        return np.zeros((0, *segment.shape))
    flat = segment.ravel()
    size = np.bincount(flat)
    sums = [np.bincount(flat, each.ravel()) for each in maps]
    return np.stack([(total / size)[segment] for total in sums])
