"""How the pixels of a data set's images are read; `datasets/bands.py` does it."""

from typing import NamedTuple


class Reading(NamedTuple):
    """How the pixels of all images of a data set become 8-bit RGB.

    bands: numbers, from 1, of the bands that are taken for red, green and blue; (): the image is
    grey or RGB.
    value_range: the values that become 0 and 255; lower and higher values become 0 and 255, too.
    (): the image has 8 bits and is not scaled.
    """

    bands: tuple[int, ...] = ()
    value_range: tuple[float, ...] = ()


AS_STORED = Reading()


def reading_of(dataset: dict) -> Reading:
    """The reading of a data set, from its config section or from a network's metadata `images`."""
    return Reading(tuple(dataset.get("bands") or ()), tuple(dataset.get("value_range") or ()))
