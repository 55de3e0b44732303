"""Semantic boundaries from pixel affinities, and their F-measure against true masks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.ndimage import distance_transform_edt
from skimage.morphology import skeletonize

from psa_core.errors import UserError
from psa_core.method.maps import resize
from psa_core.method.pairs import neighbour_offsets, pair_slices
from psa_core.runtime.artifacts import IGNORE

TOLERANCE = 0.0075  # of the image's diagonal, as in BSDS
THRESHOLDS = np.arange(1, 50) / 50


def boundary_strength(edges: np.ndarray, size: tuple[int, int], *, gamma: float) -> np.ndarray:
    """Strength of the semantic boundary at each pixel: the greatest 1 - W to a nearest neighbour.

    edges: affinities W of one image, float [P, h, w], from `affinity.edges` at the same gamma.
    size: (H, W) of the image.
    A cell has up to four nearest neighbours: above, below, left and right of it.
    Returns float32 [H, W] in [0, 1], bilinear between cells.
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
    """Boundary pixels of a mask: those whose right or lower neighbour has another class.

    mask: uint8 [H, W], 255 ignored. Ignored pixels count as their nearest class: VOC's masks have
    an ignored band between any two classes, and the boundary then lies in its middle.
    Returns bool [H, W].
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
    strength: np.ndarray, mask: np.ndarray, thresholds: np.ndarray = THRESHOLDS
) -> np.ndarray:
    """Count the boundary pixels of one image that match, at each of T thresholds.

    strength: float [H, W] in [0, 1]; the area where it reaches a threshold is thinned to a
    skeleton, which is the predicted boundary.
    mask: the true mask, uint8 [H, W], 255 ignored.
    A pixel matches if the other boundary is at most TOLERANCE times the image's diagonal away.
    BSDS assigns pixels one to one instead, and so never counts more matches. Pixels farther than
    that from every pixel with a class are left out.
    Returns int64 [T, 4]: predicted pixels that match, all predicted pixels, true pixels that match,
    all true pixels.
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


def _distance_to(target: np.ndarray) -> np.ndarray:
    """Distance of each pixel to the nearest True one, float [H, W]; infinite if there is none."""
    return distance_transform_edt(~target) if target.any() else np.full(target.shape, np.inf)


def f_measure(counts: np.ndarray) -> np.ndarray:
    """F-measure float [...] in [0, 1] of counts int [..., 4] from `match`; 0 if nothing matches."""
    hits, predicted, found, true = np.moveaxis(counts.astype(float), -1, 0)
    precision, recall = hits / np.maximum(predicted, 1), found / np.maximum(true, 1)
    return 2 * precision * recall / np.maximum(precision + recall, 1e-12)


def scores(counts: np.ndarray, thresholds: np.ndarray = THRESHOLDS) -> pd.DataFrame:
    """F-measures of a data set of N images.

    counts: int [N, T, 4], results of `match` at the T thresholds.
    Returns one row: images, N; ods, in per cent, at the threshold that is best for all images
    together; ois, in per cent, at the best threshold of each image; threshold, that of ods.
    Raises UserError if N is 0.
    """
    if not len(counts):
        raise UserError("no val image has a mask to score boundaries on: add masks of val images")
    of_all = f_measure(counts.sum(0))
    best = of_all.argmax()
    own = counts[np.arange(len(counts)), f_measure(counts).argmax(1)].sum(0)
    row = [len(counts), 100 * of_all[best], 100 * f_measure(own), thresholds[best]]
    return pd.DataFrame([row], columns=["images", "ods", "ois", "threshold"])
