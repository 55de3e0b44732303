"""The exponent of the background in the random walk, chosen for each image without a mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from psa_core.method.maps import otsu_threshold, with_background
from psa_core.method.pairs import neighbour_offsets, pair_slices
from psa_core.method.walk import propagate_each

EXPONENTS = (2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0)
BELOW_OTSU = 2  # places in EXPONENTS
LEAST_AREA = 0.005  # share of the image; far smaller areas count as equal


def walk_with_background(
    maps: np.ndarray,
    edges: np.ndarray,
    *,
    alpha: float | Literal["auto"],
    gamma: float,
    beta: float,
    t: int,
    tolerance: float,
    scale_t: bool = False,
) -> tuple[np.ndarray, float]:
    """Walk the class maps of one image together with a background map.

    maps: float [K, h, w] in [0, 1], class activation maps. edges: float [P, h, w].
    alpha: exponent of the background (eq. 2); "auto" tries EXPONENTS and takes `best_exponent`.
    gamma, beta, t, tolerance, scale_t: see `walk.propagate`.
    Returns the scores float32 [K + 1, h, w], background first, and the exponent. Without classes
    (K = 0) the background is 1.
    """
    if not len(maps):
        return np.ones((1, *maps.shape[1:]), np.float32), 1.0
    exponents = EXPONENTS if alpha == "auto" else (alpha,)
    walk = {"gamma": gamma, "beta": beta, "tolerance": tolerance, "scale_t": scale_t}
    (backgrounds,), (walked,) = walk_each_background(maps, edges, exponents, t=[t], **walk)
    chosen = 0
    if alpha == "auto":
        chosen = best_exponent(backgrounds, walked, edges**beta, gamma=gamma)
    return np.concatenate([backgrounds[[chosen]], walked]), exponents[chosen]


def walk_each_background(
    maps: np.ndarray,
    edges: np.ndarray,
    exponents: Sequence[float],
    *,
    t: Sequence[int],
    **walk: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Walk class maps together with the background of each of A exponents, for T values of t.

    maps, edges: as in `walk_with_background`. walk: gamma, beta, tolerance and scale_t.
    Returns the walked backgrounds float32 [T, A, h, w] and the walked maps [T, K, h, w]. The walk
    is linear and the class maps are the same for all exponents, so all share one recurrence.
    """
    backgrounds = [with_background(maps, exponent)[:1] for exponent in exponents]
    walked = propagate_each(np.concatenate([*backgrounds, maps]), edges, t=t, **walk)
    return walked[:, : len(exponents)], walked[:, len(exponents) :]


def best_exponent(
    backgrounds: np.ndarray, maps: np.ndarray, weights: np.ndarray, *, gamma: float
) -> int:
    """Index of the exponent whose label map has the border of least mean weight.

    backgrounds: float [A, h, w], the walked background of each of EXPONENTS.
    maps: float [K, h, w], the walked class maps.
    weights: float [P, h, w], affinities to the power of beta; NaN outside the map.
    A border along the edges in the picture separates pairs of low affinity. Exponents more than
    BELOW_OTSU places before that of `like_otsu` are excluded, since their labels may flood the
    image and then have almost no border. If no remaining label map has a border, the exponent of
    `like_otsu` is taken.
    """
    best = maps.max(0)
    objects = best > backgrounds  # [A, h, w]
    otsu = like_otsu(objects, best)
    means = mean_cut_weight(np.where(objects, maps.argmax(0) + 1, 0), weights, gamma=gamma)
    means[: max(0, otsu - BELOW_OTSU)] = np.inf
    return otsu if np.isinf(means).all() else int(means.argmin())


def like_otsu(objects: np.ndarray, best: np.ndarray) -> int:
    """Index of the exponent whose object area is closest to that of Otsu's threshold.

    objects: bool [A, h, w], the object of each exponent. best: float [h, w], the best class map.
    """
    if best.min() == best.max():
        return 0
    area = (best > otsu_threshold(best)).mean()
    ratios = (objects.mean((1, 2)) + LEAST_AREA) / (area + LEAST_AREA)
    return int(np.abs(np.log(ratios)).argmin())


def mean_cut_weight(labels: np.ndarray, weights: np.ndarray, *, gamma: float) -> np.ndarray:
    """Mean weight of the pairs of cells with different labels, for each of several label maps.

    labels: int [A, h, w]. weights: float [P, h, w], of each cell and its neighbour at offset p of
    `neighbour_offsets(gamma)`.
    Returns float64 [A]; infinite for a label map without such a pair.
    """
    total, count = np.zeros(len(labels)), np.zeros(len(labels))
    for offset, weight in zip(neighbour_offsets(gamma), weights, strict=True):
        first, second = pair_slices(offset, *weight.shape)
        cut = labels[:, *first] != labels[:, *second]
        total += (cut * weight[first]).sum((1, 2), dtype=np.float64)
        count += cut.sum((1, 2))
    return np.divide(total, count, out=np.full(len(labels), np.inf), where=count > 0)
