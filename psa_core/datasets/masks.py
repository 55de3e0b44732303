"""Masks as class indices: values or colours looked up, sizes compared with their images."""

from __future__ import annotations

import numpy as np

from psa_core.datasets.decode import fits, read_colours, read_mask, upright_size
from psa_core.datasets.formats.source import Coding, DatasetError

UNLISTED = 254  # in place of a class index, for values that no mask may hold


def checked_mask(path: str, coding: Coding, image: str) -> tuple[np.ndarray | None, list[str]]:
    """(mask as class indices uint8 [H, W], []), or (None, problems with file, value and remedy).

    coding: as in `Source`. Where it has colours, the mask's colours are looked up, else its values.
    image: path of the mask's image.
    """
    problems = size_problems(image, path, upright_size(path))
    are_colours = any(isinstance(value, tuple) for value, _, _ in coding)
    try:
        if are_colours:
            mask, found = _of_colours(path, coding, image)
        else:
            mask, found = _of_values(path, coding, image)
    except DatasetError as error:
        return None, [*problems, str(error)]
    problems += found
    return None if problems else mask, problems


def size_problems(path: str, mask: str, mask_size: tuple[int, int] | None) -> list[str]:
    """A problem where a mask has another size than the image of this path.

    mask: its path. A damaged file is reported elsewhere.
    """
    size = upright_size(path)
    if size is None or mask_size is None or fits(path, mask_size):
        return []
    return [
        f"{mask}: {mask_size[0]} x {mask_size[1]} pixels, but its image {path} has {size[0]} x "
        f"{size[1]}: make the mask again at the image's size"
    ]


def _of_values(path: str, coding: Coding, image: str) -> tuple[np.ndarray, list[str]]:
    lookup = np.full(256, UNLISTED, np.uint8)
    for value, index, _ in coding:
        lookup[value] = index
    mask = read_mask(path, image)
    present = np.unique(mask)
    unlisted = present[lookup[present] == UNLISTED].tolist()
    listed = np.flatnonzero(lookup != UNLISTED).tolist()
    problems = [
        f"{path}: values {unlisted} are not classes: use {listed}, or correct dataset.classes "
        "(format folder: or dataset.mask_values)"
    ]
    return lookup[mask], problems if unlisted else []


def _of_colours(path: str, coding: Coding, image: str) -> tuple[np.ndarray, list[str]]:
    index = {_packed(value): index for value, index, _ in coding if isinstance(value, tuple)}
    colours = read_colours(path, image)
    present, places = np.unique(colours @ (1 << 16, 1 << 8, 1), return_inverse=True)
    indices = np.array([index.get(colour, UNLISTED) for colour in present.tolist()], np.uint8)
    mask = indices[places.reshape(colours.shape[:2])]
    unlisted = present[indices == UNLISTED].tolist()
    if not unlisted:
        return mask, []
    row, column = np.argwhere(mask == UNLISTED)[0].tolist()
    first = ",".join(map(str, colours[row, column].tolist()))
    more = f" and {len(unlisted) - 1} other colours" if len(unlisted) > 1 else ""
    return mask, [
        f"{path}: the colour {first} (row {row}, column {column}){more} is not that of a class in "
        "labelmap.txt: add it there, draw without smoothed edges, or remove labelmap.txt if the "
        "masks hold class indices"
    ]


def _packed(colour: tuple[int, int, int]) -> int:
    red, green, blue = colour
    return red << 16 | green << 8 | blue
