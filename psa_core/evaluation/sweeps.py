"""Sweep of the random walk over a grid of settings, scored on true masks (paper, figure 8)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from psa_core.errors import UserError
from psa_core.evaluation import metrics
from psa_core.method.background import EXPONENTS, best_exponent, walk_each_background
from psa_core.method.maps import resize

SETTINGS = ["alpha", "beta", "t"]


def walk_counts(
    images: Iterable[tuple[np.ndarray, np.ndarray, Sequence[int], np.ndarray]],
    classes: int,
    *,
    alpha: Sequence[float | Literal["auto"]],
    beta: Sequence[float],
    t: Sequence[int],
    gamma: float,
    tolerance: float,
    scale_t: bool = False,
) -> pd.DataFrame:
    """Confusion matrices of the walk's label maps, summed over images, for every combination.

    images: tuples (class maps float [K, h, w], edges float [P, H', W'], the K class indices, true
    mask uint8 [H, W]). classes: number of object classes C.
    alpha: exponents of `maps.with_background`, or "auto" for `background.best_exponent`.
    beta, t, gamma, tolerance, scale_t: see `walk.propagate`.
    Returns a table of alpha, beta, t, true (class index), predicted and pixels, without rows
    of 0 pixels.
    """
    grid = {"alpha": alpha, "beta": beta, "t": t}
    labels = range(classes + 1)
    total = np.zeros([*map(len, grid.values()), len(labels), len(labels)], np.int64)
    for maps, edges, indices, true in images:
        walked = walk_labels(
            maps,
            edges,
            indices,
            true.shape,
            alpha=alpha,
            beta=beta,
            t=t,
            gamma=gamma,
            tolerance=tolerance,
            scale_t=scale_t,
        )
        for position, predicted in walked:
            total[position] += metrics.confusion_matrix([(true, predicted)], classes)
    keys = pd.MultiIndex.from_product(
        [*grid.values(), labels, labels], names=[*SETTINGS, "true", "predicted"]
    )
    counts = pd.Series(total.ravel(), keys, name="pixels").reset_index()
    return counts[counts["pixels"] > 0]


def walk_labels(
    maps: np.ndarray,
    edges: np.ndarray,
    classes: Sequence[int],
    size: tuple[int, int],
    *,
    alpha: Sequence[float | Literal["auto"]],
    beta: Sequence[float],
    t: Sequence[int],
    gamma: float,
    tolerance: float,
    scale_t: bool = False,
) -> Iterator[tuple[tuple[int, int, int], np.ndarray]]:
    """Label maps of one image after the walk, for every combination of settings.

    maps, edges, classes: as in `walk_counts`, of one image. size: (H, W) of the label maps.
    Yields the position of a combination in the lists alpha, beta and t, and its label map,
    uint8 [H, W].
    Only the background depends on alpha, and only the transition matrix on beta. Each beta thus
    takes one recurrence, applied to the class maps and one background per exponent.
    """
    if not len(classes):  # an empty map of the background's own index changes nothing
        maps, classes = np.zeros((1, *maps.shape[1:])), [0]
    cells = resize(maps, edges.shape[1:])
    numbers = [exponent for exponent in alpha if exponent != "auto"]
    exponents = [*numbers, *(EXPONENTS if "auto" in alpha else ())]
    index = np.array(classes, np.uint8)
    walk = {"gamma": gamma, "tolerance": tolerance, "scale_t": scale_t}
    for b, power in enumerate(beta):
        walked = walk_each_background(cells, edges, exponents, t=t, beta=power, **walk)
        for length, (backgrounds, objects) in enumerate(zip(*walked, strict=True)):
            resized = resize(objects, size)
            best, label = resized.max(0), index[resized.argmax(0)]
            for a, exponent in enumerate(alpha):
                if exponent == "auto":
                    tried = backgrounds[len(numbers) :]
                    place = best_exponent(tried, objects, edges**power, gamma=gamma)
                    background = tried[place]
                else:
                    background = backgrounds[numbers.index(exponent)]
                # Of equal scores, arg max takes the first, the background.
                score = resize(background[None], size)[0]
                yield (a, b, length), np.where(score >= best, 0, label)


def walk_table(counts: Sequence[pd.DataFrame], names: Sequence[str], images: int) -> pd.DataFrame:
    """Scores of each combination of settings.

    counts: tables from `walk_counts`, one per shard. names: of the classes, without background.
    images: number of images scored.
    Returns one row per combination: alpha, beta, t, miou, precision, recall, images. Scores
    are means over the classes, in per cent.
    Raises UserError if images is 0.
    """
    if not images:
        raise UserError("no image has a mask to be scored on: add masks of train images")
    rows = []
    counted_all = pd.concat([each for each in counts if not each.empty])
    for settings, counted in counted_all.groupby(SETTINGS, sort=False):
        confusion = np.zeros((len(names) + 1,) * 2, np.int64)
        np.add.at(confusion, (counted["true"], counted["predicted"]), counted["pixels"])
        mean = metrics.class_scores(confusion, names).mean(numeric_only=True)
        rows.append((*settings, mean["iou"], mean["precision"], mean["recall"], images))
    table = pd.DataFrame(rows, columns=[*SETTINGS, "miou", "precision", "recall", "images"])
    return table.sort_values(SETTINGS, key=_numbers, ignore_index=True)


def _numbers(column: pd.Series) -> pd.Series:
    """A column of settings as numbers; "auto" comes before all others."""
    return pd.to_numeric(column, errors="coerce").fillna(-1)
