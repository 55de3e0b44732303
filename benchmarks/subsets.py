"""Subsets of a VOC devkit that stand for people's own photographs: few, small, three classes.

Each is a data set of the format `folder`: images/, labels.csv and masks/.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from psa_core.datasets.formats import voc
from psa_core.datasets.formats.source import DatasetError, fail
from psa_core.runtime.artifacts import IGNORE, read_label_map, write_label_map, write_lines

CLASSES = ("cat", "dog", "horse")


class Subset(NamedTuple):
    """images: their number. longest_side: larger images are reduced to it, in pixels."""

    images: int
    longest_side: int


SUBSETS = {"s48": Subset(48, 250), "m150": Subset(150, 320), "l300": Subset(300, 500)}


def build(devkit: Path, folder: Path, subset: Subset) -> None:
    """Write a subset of the images of train_aug that have masks; a folder that exists is kept.

    Labels are those of the devkit; mask pixels of all other classes count as background.
    Raises DatasetError where the devkit cannot be read or has too few images.
    """
    if folder.exists():
        return
    source = voc.read({"root": str(devkit)})
    labels = source.labels | voc.read_annotations(source.annotations, source.problems)
    if source.problems:
        fail(source.problems)
    usable = {i: labels[i] for i in source.lists["train_aug"] if i in source.masks}
    lookup = np.zeros(256, np.uint8)
    lookup[IGNORE] = IGNORE
    for index, name in enumerate(CLASSES, start=1):
        lookup[voc.CLASSES.index(name) + 1] = index
    rows = []
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # left by a killed run
    for image in choose(usable, CLASSES, subset.images):
        path = Path(source.images[image])
        rows.append(f"{path.name},{';'.join(labels[image])}")
        mask = Image.fromarray(lookup[read_label_map(source.masks[image])])
        size = fitting(mask.size, subset.longest_side)
        mask = mask.resize(size, Image.Resampling.NEAREST)
        write_label_map(partial / f"masks/{image}.png", np.array(mask))
        _write_image(path, partial / "images" / path.name, size)
    write_lines(partial / "labels.csv", ["image,labels", *rows])
    os.replace(partial, folder)


def choose(labels: Mapping[str, Sequence[str]], classes: Sequence[str], count: int) -> list[str]:
    """Ids of `count` images that show no other classes, sorted.

    labels: class names of each image. The classes take turns to choose an image, by the digests of
    the ids; so their numbers of images are about equal, and a larger choice contains a smaller one.
    Raises DatasetError where there are too few images.
    """
    shown = {image: set(names) for image, names in labels.items() if names}
    order = sorted(shown, key=lambda image: hashlib.sha256(image.encode()).digest())
    waiting = {
        name: [image for image in order if name in shown[image] and shown[image] <= set(classes)]
        for name in classes
    }
    chosen: dict[str, None] = {}
    while any(waiting.values()):
        for name in classes:
            waiting[name] = [image for image in waiting[name] if image not in chosen]
            if waiting[name]:
                chosen[waiting[name][0]] = None
            if len(chosen) == count:
                return sorted(chosen)
    raise DatasetError(
        f"{count} images that show only {', '.join(classes)} are wanted, there are {len(chosen)}: "
        "use a devkit with more of them"
    )


def fitting(size: tuple[int, int], longest_side: int) -> tuple[int, int]:
    """(width, height) reduced to a longest side, in pixels; not enlarged."""
    factor = min(1, longest_side / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _write_image(path: Path, target: Path, size: tuple[int, int]) -> None:
    """Copy an image, reduced to `size` (width, height) if it is larger."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(path) as image:
        if image.size == size:
            shutil.copyfile(path, target)
        else:
            image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(target, quality=95)
