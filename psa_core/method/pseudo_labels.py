"""Pseudo labels from class scores: dense CRF, then arg max (paper, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from psa_core.method.dcrf import dense_crf, scaled
from psa_core.method.maps import arg_max, resize


def pseudo_labels(
    image: np.ndarray,
    scores: np.ndarray,
    classes: Sequence[int],
    *,
    confidence: float | None,
    scale: float = 1.0,
    dcrf: dict,
    size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Pseudo label map of one image: the best class of each pixel after the dense CRF.

    image: uint8 [H, W, 3].
    scores: float [K + 1, h, w] in [0, 1], those of the random walk, background first.
    classes: the K class indices.
    confidence: see `confident_arg_max`; None passes the scores to the CRF unchanged (paper).
    scale: factor by which the CRF sees the image resized; its probabilities are resized to `size`.
    dcrf: keyword arguments of `dense_crf`, with sxy in pixels of the full image.
    size: (height, width) of the labels; None: those of the image.
    Returns uint8 [*size] class indices, 0 background; without classes all background.
    """
    size = size or image.shape[:2]
    if not len(classes):
        return np.zeros(size, np.uint8)
    image, dcrf = scaled(image, dcrf, scale)
    scores = resize(scores, image.shape[:2])
    if confidence is not None:
        scores = confident_arg_max(scores, confidence)
    refined = dense_crf(image, scores[None], **dcrf)[0]
    return arg_max(refined, classes, size)


def confident_arg_max(scores: np.ndarray, confidence: float) -> np.ndarray:
    """Replace scores by probabilities: `confidence` for the best of a pixel, equal for the others.

    scores: float [L, H, W]. confidence: in (0, 1).
    Returns float32 [L, H, W] that sum to 1 over the L labels.
    A walk of hundreds of steps leaves nearly flat scores, of which only the order means something.
    Used as probabilities, they are outweighed by the CRF's pairwise terms, which then smooth
    objects away.
    """
    probabilities = np.full(scores.shape, (1 - confidence) / max(1, len(scores) - 1), np.float32)
    np.put_along_axis(probabilities, scores.argmax(0)[None], confidence, axis=0)
    return probabilities
