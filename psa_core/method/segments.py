"""Pseudo labels corrected by segments of another tool (Chen et al. 2023, arXiv 2305.05803)."""

from __future__ import annotations

import numpy as np

from psa_core.runtime.artifacts import IGNORE

MAJORITY, RECALL = 0.5, 0.85  # the publication's


def vote(labels: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """Give each segment one class, that of the labels in it.

    labels: uint8 [H, W] class indices, 0 background, 255 ignored.
    segments: bool [N, H, W], which may overlap.
    A segment takes class c if more than MAJORITY of its pixels have the label c, or if it holds at
    least RECALL of all pixels with the label c; of several such classes the most frequent in it.
    Any other segment is background. Where segments overlap, the smaller one decides. Pixels in no
    segment keep their labels.
    Returns uint8 [H, W].
    """
    totals = np.bincount(labels.ravel(), minlength=256)
    voted = labels.copy()
    sizes = segments.sum((1, 2))
    for i in np.argsort(-sizes, kind="stable"):
        if not sizes[i]:
            continue
        counts = np.bincount(labels[segments[i]], minlength=256)
        counts[[0, IGNORE]] = 0
        taken = (counts > MAJORITY * sizes[i]) | ((counts > 0) & (counts >= RECALL * totals))
        voted[segments[i]] = np.argmax(counts * taken)
    return voted
