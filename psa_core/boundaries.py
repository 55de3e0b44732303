"""Semantic boundaries from pixel affinities, and their score against true masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.ndimage import distance_transform_edt
from skimage.morphology import skeletonize

from psa_core.artifacts import IGNORE
from psa_core.maps import resize
from psa_core.pairs import neighbour_offsets, pair_slices

TOLERANCE = 0.0075  # of the image's diagonal, as in BSDS
THRESHOLDS = np.arange(1, 50) / 50


def boundary_strength(edges: np.ndarray, size: tuple[int, int], *, gamma: float) -> np.ndarray:
    """How much the pixels beside one another differ: the strength of a semantic boundary.

    edges: affinities W float [P, h, w] of `affinity.edges` at the same gamma; NaN outside.
    A cell's strength is the greatest 1 - W to those of its four nearest neighbours that lie in the
    map. Returns float32 [*size] in [0, 1], bilinear between cells.
    """
    height, width = edges.shape[1:]
    strength = np.zeros((height, width))
    for offset in ((0, 1), (1, 0)):
        first, second = pair_slices(offset, height, width)
        difference = 1 - edges[neighbour_offsets(gamma).index(offset)][first]
        for end in (first, second):
            strength[end] = np.maximum(strength[end], difference)
    return resize(strength[None], size)[0].clip(0, 1)


def true_boundaries(mask: np.ndarray) -> np.ndarray:
    """Where the class changes, bool [H, W]: the pixel whose right or lower neighbour differs.

    mask: uint8 [H, W], 255 ignored. VOC's masks have an ignored band between any two classes:
    ignored pixels count as their nearest class, which puts the boundary into the band's middle.
    """
    if (mask == IGNORE).all():
        return np.zeros(mask.shape, bool)
    nearest = distance_transform_edt(mask == IGNORE, return_distances=False, return_indices=True)
    filled = mask[tuple(nearest)]
    boundary = np.zeros(mask.shape, bool)
    boundary[:, :-1] |= filled[:, :-1] != filled[:, 1:]
    boundary[:-1] |= filled[:-1] != filled[1:]
    return boundary


def match(
    strength: np.ndarray, mask: np.ndarray, thresholds: Sequence[float] = THRESHOLDS
) -> np.ndarray:
    """Count boundary pixels of one image that match, at each threshold.

    strength: float [H, W] in [0, 1]; where it reaches a threshold it is thinned to a skeleton.
    mask: the true mask, uint8 [H, W], 255 ignored.
    A pixel matches where the other boundary is within TOLERANCE of the image's diagonal. BSDS
    assigns pixels one to one in place of this, and so counts no more matches. Pixels farther than
    that from all that has a class are left out.
    Returns int [T, 4]: predicted pixels that match, predicted, true pixels that match, true.
    """
    reach = TOLERANCE * np.hypot(*mask.shape)
    counted = _distance_to(mask != IGNORE) <= reach
    true = true_boundaries(mask) & counted
    near_true = _distance_to(true) <= reach
    counts = np.zeros((len(thresholds), 4), np.int64)
    for row, threshold in zip(counts, thresholds, strict=True):
        predicted = skeletonize(strength >= threshold) & counted
        near_predicted = _distance_to(predicted) <= reach
        sets = (predicted & near_true, predicted, true & near_predicted, true)
        row[:] = [pixels.sum() for pixels in sets]
    return counts


def _distance_to(there: np.ndarray) -> np.ndarray:
    """Distance of each pixel to the nearest one that is there, infinite where there is none."""
    return distance_transform_edt(~there) if there.any() else np.full(there.shape, np.inf)


def f_measure(counts: np.ndarray) -> np.ndarray:
    """F-measure [...] in [0, 1] of counts [..., 4] of `match`; 0 where nothing matches."""
    hits, predicted, found, true = np.moveaxis(counts.astype(float), -1, 0)
    precision, recall = hits / np.maximum(predicted, 1), found / np.maximum(true, 1)
    return 2 * precision * recall / np.maximum(precision + recall, 1e-12)


def scores(counts: np.ndarray, thresholds: Sequence[float] = THRESHOLDS) -> pd.DataFrame:
    """F-measures of a data set from counts int [N, T, 4] of `match`.

    Returns one row: images; ods, in per cent, at the one threshold that is best for all images
    together; ois, in per cent, at each image's own best threshold; threshold, that of ods.
    Raises ValueError where there is no image.
    """
    if not len(counts):
        raise ValueError("no val image has a mask to score boundaries on: add masks of val images")
    of_all = f_measure(counts.sum(0))
    best = of_all.argmax()
    own = counts[np.arange(len(counts)), f_measure(counts).argmax(1)].sum(0)
    row = [len(counts), 100 * of_all[best], 100 * f_measure(own), thresholds[best]]
    return pd.DataFrame([row], columns=["images", "ods", "ois", "threshold"])
