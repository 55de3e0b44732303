"""VOC's layout for segmentation: images, masks of classes and of objects, and their list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from psa_core.datasets.formats.source import DatasetError, without_suffix
from psa_core.delivery.exports.archive import Archive, writing
from psa_core.delivery.exports.parts import MaskedImage, parts
from psa_core.runtime.artifacts import IGNORE, VOC_PALETTE


def write(path: str | Path, images: Iterable[MaskedImage], names: Sequence[str]) -> None:
    """Write a zip file with the images. Ignored pixels are 255 in both kinds of masks.

    Raises DatasetError for a class name with a colon, which separates fields in labelmap.txt.
    """
    with writing(path) as archive:
        add_label_map(archive, {**dict(enumerate(["background", *names])), IGNORE: "ignored"})
        listed = []
        for image in images:
            listed.append(without_suffix(image.name))
            archive.add_file(f"JPEGImages/{image.name}", image.path)
            add_masks(archive, listed[-1], image.labels)
        add_list(archive, listed)


def add_label_map(archive: Archive, labels: dict[int, str]) -> None:
    """labelmap.txt: name and colour of each index. Raises DatasetError as `write` does."""
    lines = ["# label:color_rgb:parts:actions\n"]
    for index, name in labels.items():
        if ":" in name:
            raise DatasetError(
                f"class {name!r}: labelmap.txt separates fields by colons: rename the class"
            )
        red, green, blue = VOC_PALETTE[3 * index : 3 * index + 3]
        lines.append(f"{name}:{red},{green},{blue}::\n")
    archive.add("labelmap.txt", "".join(lines))


def add_masks(archive: Archive, name: str, labels: np.ndarray) -> None:
    """An image's SegmentationClass and SegmentationObject, uint8 [H, W], with VOC's palette."""
    archive.add_label_map(f"SegmentationClass/{name}.png", labels)
    archive.add_label_map(f"SegmentationObject/{name}.png", objects(labels))


def add_list(archive: Archive, images: Sequence[str]) -> None:
    """The names of all images, one per line, without suffix."""
    archive.add("ImageSets/Segmentation/default.txt", "".join(f"{name}\n" for name in images))


def objects(labels: np.ndarray) -> np.ndarray:
    """Number the parts from 1: uint8 [H, W]; background and ignored pixels stay.

    Numbers end at 254. Where an image has more parts, each class is one object.
    """
    found = parts(labels)
    if len(found) >= IGNORE:
        return labels
    numbers = np.where(labels == IGNORE, labels, np.uint8(0))
    for number, part in enumerate(found, start=1):
        numbers[part.box][part.pixels] = number
    return numbers
