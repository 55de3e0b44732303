"""Affinity labels: where class activation maps are confident (paper, section 3.2)."""

from __future__ import annotations

import numpy as np
from PIL import Image

from psa_core.artifacts import IGNORE
from psa_core.dcrf import dense_crf
from psa_core.maps import resize, with_background


def affinity_labels(
    image: np.ndarray,
    maps: np.ndarray,
    classes: list[int],
    *,
    alpha_low: float,
    alpha_high: float,
    scale: float = 1.0,
    dcrf: dict,
) -> np.ndarray:
    """Confident areas of one image, between which affinities are learned (paper, section 3.2).

    image: uint8 [H, W, 3]. maps: class activation maps float [K, h, w] in [0, 1].
    classes: K class indices. alpha_low amplifies the background (eq. 2): what is an object all
    the same is a confident object; alpha_high weakens it: what is background still is confident
    background. scale: the CRF sees the image at this factor of its size; AffinityNet reads the
    labels a cell of 8 x 8 pixels at a time. dcrf: see `dense_crf`, in pixels of the full image.
    Returns uint8 [H, W]: 0 background, c object, 255 neutral.
    """
    full, image, dcrf = image.shape[:2], *scaled(image, dcrf, scale)
    maps = resize(maps, image.shape[:2])
    scores = np.stack([with_background(maps, alpha) for alpha in (alpha_low, alpha_high)])
    low, high = dense_crf(image, scores, **dcrf).argmax(1)
    areas = confident_areas(low, high, classes)
    return np.asarray(Image.fromarray(areas).resize(full[::-1], Image.Resampling.NEAREST))


def scaled(image: np.ndarray, dcrf: dict, scale: float) -> tuple[np.ndarray, dict]:
    """An image uint8 [H, W, 3] resized by `scale`, and a CRF whose kernels are as wide on it."""
    if scale == 1:
        return image, dcrf
    size = [max(1, round(side * scale)) for side in (image.shape[1], image.shape[0])]
    kernels = {
        name: {**dcrf[name], "sxy": dcrf[name]["sxy"] * scale} for name in ("gaussian", "bilateral")
    }
    small = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    return np.array(small), {**dcrf, **kernels}


def with_true_mask(labels: np.ndarray, mask: np.ndarray, listed: list[int]) -> np.ndarray:
    """Affinity labels of an image whose true mask may be used for some classes (transfer).

    labels: uint8 [H, W] of `affinity_labels`. mask: uint8 [H, W] class indices, 255 ignored.
    listed: class indices whose masks are known.
    Where the mask shows none of them, the labels are returned as they are. Elsewhere pixels of
    listed classes and of the background are taken from the mask, ignored ones are neutral (255),
    and a pixel of another class keeps its label unless the mask rules it out: background or a
    listed class turns neutral. Returns uint8 [H, W].
    """
    if not np.isin(mask, listed).any():
        return labels
    known = [0, *listed]
    others = np.where(np.isin(labels, known) | (mask == IGNORE), np.uint8(IGNORE), labels)
    return np.where(np.isin(mask, known), mask, others)


def confident_areas(low: np.ndarray, high: np.ndarray, classes: list[int]) -> np.ndarray:
    """Combine the arg max [H, W] (0 background, k the k-th class) at alpha_low and alpha_high."""
    index = np.array([IGNORE, *classes], np.uint8)
    return np.where(high == 0, np.uint8(0), index[low])
