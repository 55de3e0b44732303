"""Images too large for memory: predicted in overlapping tiles."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from psa_core.runtime.parallel import Map

Result = TypeVar("Result")


class Window(NamedTuple):
    """One tile along one axis, in pixels: the predicted range and the part of it that is kept."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int

    @property
    def predicted(self) -> slice:
        return slice(self.start, self.stop)

    @property
    def kept(self) -> slice:
        return slice(self.keep_start, self.keep_stop)

    @property
    def kept_in_tile(self) -> slice:
        return slice(self.keep_start - self.start, self.keep_stop - self.start)


def windows(length: int, tile: int) -> list[Window]:
    """Tiles that cover an axis, each overlapping the next by a quarter or more.

    Two tiles meet in the middle of their overlap, so that each keeps the part with more context.
    An axis of at most `tile` pixels has one tile.
    """
    last = max(0, length - tile)
    starts = [*range(0, last, tile - tile // 4), last]
    stops = [min(start + tile, length) for start in starts]
    meet = [(start + stop) // 2 for start, stop in zip(starts[1:], stops, strict=False)]
    bounds = [0, *meet, length]
    return [Window(*each) for each in zip(starts, stops, bounds[:-1], bounds[1:], strict=True)]


def number_of_tiles(size: tuple[int, int], tile: int) -> int:
    """Number of tiles of an image of a size (height, width)."""
    height, width = size
    return len(windows(height, tile)) * len(windows(width, tile))


def in_tiles(
    predict: Callable[[Sequence[np.ndarray]], Sequence[Result]],
    image: np.ndarray,
    *,
    tile: int,
    batch: int,
    each: Map = map,
) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice], Result]]:
    """(place in the image, place in the tile, prediction) of each tile of an image.

    The places are rows and columns of the part of the tile that is kept.
    predict: takes tiles uint8 [h, w, 3] of equal size, returns a prediction for each.
    image: uint8 [H, W, 3]. tile: side in pixels. batch: number of tiles per call.
    each: makes the calls; `map`, or that of a pool of threads.
    """
    rows, columns = (windows(length, tile) for length in image.shape[:2])
    pairs = list(itertools.product(rows, columns))
    groups = [pairs[first : first + batch] for first in range(0, len(pairs), batch)]

    def predicted(group: list[tuple[Window, Window]]) -> Sequence[Result]:
        return predict([image[row.predicted, column.predicted] for row, column in group])

    for group, found in zip(groups, each(predicted, groups), strict=True):
        for (row, column), part in zip(group, found, strict=True):
            yield (row.kept, column.kept), (row.kept_in_tile, column.kept_in_tile), part
