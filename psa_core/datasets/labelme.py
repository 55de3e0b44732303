"""Outlines of LabelMe as a mask of class indices."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from psa_core.datasets.formats.labels.rows import Malformed, member
from psa_core.datasets.formats.masks import index_of
from psa_core.datasets.formats.source import DatasetError, did_you_mean

SHAPES = ("polygon", "rectangle")


def read_outlines(path: str | Path, names: Sequence[str], size: tuple[int, int]) -> np.ndarray:
    """The mask of a JSON file of LabelMe, uint8 [H, W]; later shapes lie on top of earlier ones.

    names: of the classes 1..C; also `_background_` and `__ignore__` are labels.
    size: (height, width) of the upright image, which the file must have.
    Raises DatasetError, with the path, for another size, label or kind of shape.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
        shapes = member(content, "shapes", list, "the file")
        width, height = (member(content, f"image{s}", int, "the file") for s in ("Width", "Height"))
    except (OSError, ValueError, RecursionError, Malformed) as error:
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"{path}: not a JSON of LabelMe ({reason}): save it again") from error
    if (height, width) != tuple(size):
        raise DatasetError(
            f"{path}: outlines for {width} x {height} pixels, but the image has {size[1]} x "
            f"{size[0]}: draw them on the image itself"
        )
    mask = np.zeros(size, np.uint8)
    for number, shape in enumerate(shapes, start=1):
        try:
            index, points = _read_shape(shape, names, f"shape {number}")
        except Malformed as error:
            raise DatasetError(f"{path}, {error}: correct it in LabelMe") from error
        mask[filled(points, size)] = index
    return mask


def filled(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Which pixels have their centre inside a polygon, bool [H, W], by the even-odd rule.

    points: float [N, 2], x and y; the pixel of row y and column x spans x .. x + 1 and y .. y + 1.
    A line that goes forth and back encloses nothing.
    """
    # Pillow's polygons are wider by half a pixel, and trainings import no scikit-image.
    height, width = size
    inside = np.zeros(size, bool)
    (x, y), (next_x, next_y) = points.T, np.roll(points, -1, axis=0).T
    rows = range(max(0, int(y.min())), min(height, int(y.max()) + 1))
    for row in rows:
        centre = row + 0.5
        at = np.flatnonzero((y <= centre) != (next_y <= centre))
        slopes = (next_x[at] - x[at]) / (next_y[at] - y[at])
        crossings = np.sort(x[at] + (centre - y[at]) * slopes)
        inside[row] = np.searchsorted(crossings, np.arange(width) + 0.5) % 2 == 1
    return inside


def _read_shape(shape: dict, names: Sequence[str], place: str) -> tuple[int, np.ndarray]:
    """(class index, points of a polygon, float [N, 2]). Raises Malformed."""
    label = member(shape, "label", str, place)
    index = index_of(label, names)
    if index is None:
        raise Malformed(f"{place}: {label!r} is not a class{did_you_mean(label, names)}")
    kind = member({"shape_type": "polygon"} | shape, "shape_type", str, place)
    if kind not in SHAPES:
        raise Malformed(f"{place}: a {kind}, but only {' and '.join(SHAPES)} have an area")
    try:
        points = np.array(member(shape, "points", list, place), np.float64).reshape(-1, 2)
    except (ValueError, TypeError) as error:
        raise Malformed(f"{place}: its points are not pairs of numbers") from error
    if kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        points = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    if len(points) < 3 or not np.isfinite(points).all():
        raise Malformed(f"{place}: {len(points)} points enclose nothing")
    return index, points
