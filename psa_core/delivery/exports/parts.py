"""Masked images, and the connected parts of a mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from psa_core.datasets.decode import read_image
from psa_core.datasets.formats.reading import AS_STORED, Reading
from psa_core.datasets.index import ImageRow
from psa_core.delivery.names import relative_names
from psa_core.runtime.artifacts import IGNORE, read_label_map

CORNERS_CONNECT = np.ones((3, 3), bool)


class MaskedImage(NamedTuple):
    """An image and its mask.

    name: of the image as its user knows it, relative, "cats/my pic.jpg". path: of its file.
    labels: uint8 [H, W] class indices; 0 background, 255 ignored.
    confidence: uint8 [H, W], 255 for 1; None where it is not known.
    reading: how its pixels become 8-bit RGB.
    """

    name: str
    path: Path
    labels: np.ndarray
    confidence: np.ndarray | None = None
    reading: Reading = AS_STORED

    def photograph(self) -> np.ndarray:
        """The image, uint8 [H, W, 3], upright."""
        return read_image(self.path, self.reading)


def masked_images(rows: Sequence[ImageRow], masks: Sequence[str]) -> Iterator[MaskedImage]:
    """Images of the index and their label maps, read when they are asked for.

    masks: files of the label maps, one per row.
    """
    names = relative_names([row.path for row in rows])
    for row, name, mask in zip(rows, names, masks, strict=True):
        labels = read_label_map(mask, (row.height, row.width))
        yield MaskedImage(name, Path(row.path), labels, reading=row.reading)


class Part(NamedTuple):
    """A connected part of a class.

    class_index: 1..C. top, left: the first row and column of its box.
    pixels: bool [h, w], which pixels of the box belong to it.
    """

    class_index: int
    top: int
    left: int
    pixels: np.ndarray

    @property
    def box(self) -> tuple[slice, slice]:
        """Its rows and columns in the image."""
        height, width = self.pixels.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def parts(labels: np.ndarray) -> list[Part]:
    """The connected parts of each class, ordered by class, then by their first pixel.

    labels: uint8 [H, W]. Pixels that touch at a corner are connected; parts of different classes
    never are. Background and ignored pixels belong to no part.
    """
    found = []
    for index in np.setdiff1d(labels, (0, IGNORE)).tolist():
        numbers, _ = ndimage.label(labels == index, CORNERS_CONNECT)
        for number, (rows, columns) in enumerate(ndimage.find_objects(numbers), start=1):
            pixels = numbers[rows, columns] == number
            found.append(Part(index, rows.start, columns.start, pixels))
    return found
