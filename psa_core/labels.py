"""Pseudo segmentation labels from class scores: dense CRF, then arg max (paper, section 3.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.optimize import minimize_scalar

from psa_core.artifacts import IGNORE
from psa_core.dcrf import DenseCRF
from psa_core.maps import resize


def refine(
    image: np.ndarray,
    scores: np.ndarray,
    classes: Sequence[int],
    *,
    temperature: float,
    dcrf: dict,
) -> np.ndarray:
    """Pseudo label of one image: sharpened scores through the dense CRF, arg max.

    image: uint8 [H, W, 3]. scores: float [K + 1, h, w] after the walk, background first.
    temperature: see `calibrate`. Returns uint8 [H, W] class indices.
    """
    probabilities = sharpen(resize(scores, image.shape[:2]), temperature)
    refined = DenseCRF(image, len(scores), **dcrf).refine(probabilities)
    return np.array([0, *classes], np.uint8)[refined.argmax(0)]


def sharpen(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Scores [K, H, W] to the power 1 / temperature, so that they sum to 1 at each pixel.

    A walk of hundreds of steps leaves scores that are nearly flat. Their order is right, their
    size is not: taken as probabilities they weigh less than the CRF's pairwise terms, which then
    smooth objects away.
    """
    powered = (scores / scores.max(0).clip(1e-12)) ** (1 / temperature)
    return powered / powered.sum(0)


def confident_scores(
    scores: np.ndarray, areas: np.ndarray, classes: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """What `calibrate` needs of one image.

    scores: float [K + 1, h, w]. areas: affinity labels uint8 [H, W], sampled at the cells' centres.
    Returns the scores and, uint8 [h, w], which of them is true where that is known (255 elsewhere).
    """
    height, width = scores.shape[1:]
    rows = ((np.arange(height) + 0.5) * areas.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * areas.shape[1] / width).astype(int)
    position = np.full(256, IGNORE, np.uint8)
    position[[0, *classes]] = np.arange(len(classes) + 1)
    return scores, position[areas[np.ix_(rows, columns)]]


def calibrate(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """The temperature at which walk scores are honest probabilities; no mask is needed.

    pairs: scores [K + 1, h, w] and confident areas [h, w] for some images, the latter as index
    into the scores (255 neutral). The temperature minimises the cross entropy of the sharpened
    scores against the confident areas (temperature scaling, Guo et al. 2017), which were made from
    image-level labels alone. Returns a value in [0.05, 1].
    """
    logits, targets = [], []
    for scores, areas in pairs:
        chosen = areas != IGNORE
        log_scores = np.log(scores[:, chosen].clip(1e-6))
        targets.append(np.take_along_axis(log_scores, areas[chosen][None].astype(int), 0)[0])
        logits.append(log_scores)

    def cross_entropy(log_temperature: float) -> float:
        factor = np.exp(-log_temperature)
        total = sum(
            float((np.log(np.exp(factor * (z - z.max(0))).sum(0)) + factor * (z.max(0) - y)).sum())
            for z, y in zip(logits, targets, strict=True)
        )
        return total / max(1, sum(map(len, targets)))

    best = minimize_scalar(cross_entropy, bounds=np.log([0.05, 1.0]), method="bounded")
    return float(np.exp(best.x))
