"""Affinity labels: the areas where class activation maps are confident (paper, section 3.2)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

from psa_core.method.dcrf import dense_crf, scaled
from psa_core.method.maps import otsu_exponent, resize, with_background
from psa_core.runtime.artifacts import IGNORE

# Chosen on photographs of animals, where the areas are as large and as accurate as with exponents
# tuned with masks.
LOW, HIGH = 0.5, 6.0


def affinity_labels(
    image: np.ndarray,
    maps: np.ndarray,
    classes: list[int],
    *,
    alpha_low: float | Literal["auto"],
    alpha_high: float | Literal["auto"],
    scale: float = 1.0,
    dcrf: dict,
    size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Confident areas of one image, between which affinities are learned (paper, section 3.2).

    image: uint8 [H, W, 3]. maps: class activation maps float [K, h, w] in [0, 1].
    classes: the K class indices.
    alpha_low: exponent that amplifies the background (eq. 2); pixels still labelled object are
    confident foreground.
    alpha_high: exponent that weakens the background; pixels still labelled background are
    confident background.
    If "auto", they are LOW and HIGH times `maps.otsu_exponent`.
    scale: factor by which the CRF sees the image resized. Below 1 saves time at little loss, since
    AffinityNet reads one label per cell of 8 x 8 pixels.
    dcrf: keyword arguments of `dense_crf`, with sxy in pixels of the full image.
    size: (height, width) of the labels; None: those of the image.
    Returns uint8 [*size]: 0 background, c object, 255 neutral; without classes all background.
    """
    size = size or image.shape[:2]
    if not len(classes):
        return np.zeros(size, np.uint8)
    image, dcrf = scaled(image, dcrf, scale)
    maps = resize(maps, image.shape[:2])
    otsu = otsu_exponent(maps)
    low = LOW * otsu if alpha_low == "auto" else alpha_low
    high = HIGH * otsu if alpha_high == "auto" else alpha_high
    scores = np.stack([with_background(maps, alpha) for alpha in (low, high)])
    best_low, best_high = dense_crf(image, scores, **dcrf).argmax(1)
    areas = confident_areas(best_low, best_high, classes)
    return np.asarray(Image.fromarray(areas).resize(size[::-1], Image.Resampling.NEAREST))


def with_true_mask(labels: np.ndarray, mask: np.ndarray, listed: list[int]) -> np.ndarray:
    """Correct affinity labels by the true mask of some classes (transfer to other classes).

    labels: result of `affinity_labels`, uint8 [H, W].
    mask: true mask, uint8 [H, W] class indices, 255 ignored.
    listed: indices of the classes whose masks may be used.
    Returns uint8 [H, W]. An image without a listed class keeps its labels. In any other, pixels of
    the background and of listed classes get their true class, and ignored pixels are neutral (255).
    Pixels of other classes keep their label, but are neutral if it is the background or a listed
    class, which the mask rules out.
    """
    if not np.isin(mask, listed).any():
        return labels
    known = [0, *listed]
    others = np.where(np.isin(labels, known) | (mask == IGNORE), np.uint8(IGNORE), labels)
    return np.where(np.isin(mask, known), mask, others)


def confident_areas(low: np.ndarray, high: np.ndarray, classes: list[int]) -> np.ndarray:
    """Combine the best labels at alpha_low and alpha_high into affinity labels uint8 [H, W].

    low, high: int [H, W], 0 background, k the k-th of `classes`.
    """
    index = np.array([IGNORE, *classes], np.uint8)
    return np.where(high == 0, np.uint8(0), index[low])
