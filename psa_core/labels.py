"""Pseudo segmentation labels from class scores: dense CRF, then arg max (paper, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from psa_core.dcrf import dense_crf
from psa_core.maps import resize


def refine(
    image: np.ndarray,
    scores: np.ndarray,
    classes: Sequence[int],
    *,
    confidence: float | None,
    dcrf: dict,
) -> np.ndarray:
    """Pseudo label of one image: the best class of each pixel through the dense CRF.

    image: uint8 [H, W, 3]. scores: float [K + 1, h, w] after the walk, background first.
    classes: the K class indices. confidence: see `confident_arg_max`; None gives the CRF the
    scores as they are, as the paper does. dcrf: see `dense_crf`.
    Returns uint8 [H, W] class indices.
    """
    scores = resize(scores, image.shape[:2])
    if confidence is not None:
        scores = confident_arg_max(scores, confidence)
    refined = dense_crf(image, scores[None], **dcrf)[0]
    return np.array([0, *classes], np.uint8)[refined.argmax(0)]


def confident_arg_max(scores: np.ndarray, confidence: float) -> np.ndarray:
    """Probabilities [K, H, W]: `confidence` for a pixel's best score, the rest shared alike.

    A walk of hundreds of steps leaves scores that are nearly flat: their order is right, their
    size is not. Taken as probabilities they weigh less than the CRF's pairwise terms, which then
    smooth objects away; only the order is used.
    """
    probabilities = np.full(scores.shape, (1 - confidence) / max(1, len(scores) - 1), np.float32)
    np.put_along_axis(probabilities, scores.argmax(0)[None], confidence, axis=0)
    return probabilities
