"""Pseudo labels corrected by segments of another tool (Chen et al. 2023, arXiv 2305.05803)."""

from __future__ import annotations

import numpy as np

from psa_core.runtime.artifacts import IGNORE

MAJORITY, RECALL = 0.5, 0.85  # the publication's


def vote(labels: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """Give each segment one class, that of the labels in it.

    labels: uint8 [H, W] class indices, 0 background, 255 ignored.
    segments: int [H, W], the number of each pixel's segment, 0 for none; or masks bool [N, H, W],
    which may overlap.
    A segment takes class c if more than MAJORITY of its pixels have the label c, or if it holds at
    least RECALL of all pixels with the label c. If several classes qualify, it takes the one with
    the most pixels in it; if none does, it is background. Where segments overlap, the smaller one
    decides. Pixels in no segment keep their labels.
    Returns uint8 [H, W].
    """
    totals = np.bincount(labels.ravel(), minlength=256)
    if segments.ndim == 2:
        numbers, places = np.unique(segments, return_inverse=True)
        pairs = 256 * places.ravel() + labels.ravel()
        counts = np.bincount(pairs, minlength=256 * len(numbers)).reshape(-1, 256)
        return np.where(
            segments == 0, labels, _winners(counts, totals)[places.reshape(labels.shape)]
        )
    voted = labels.copy()
    for i in np.argsort(-segments.sum((1, 2)), kind="stable"):
        counts = np.bincount(labels[segments[i]], minlength=256)
        voted[segments[i]] = _winners(counts[None], totals)
    return voted


def _winners(counts: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """The class uint8 [N] of each of N segments, by their numbers of pixels [N, 256] by label.

    totals: numbers of pixels [256] of the image by label.
    """
    taken = (counts > MAJORITY * counts.sum(1, keepdims=True)) | (counts >= RECALL * totals)
    taken[:, [0, IGNORE]] = False
    return np.argmax(counts * taken, 1).astype(np.uint8)
