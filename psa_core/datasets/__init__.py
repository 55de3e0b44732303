"""Data sets in VOC's format, as a folder with a csv, or the built-in scenes: one interface.

An image has an id (a safe file name), image-level labels, and a mask or none. Four lists:
`train_aug` trains the networks and gets pseudo labels, `train` is what labels are scored on,
`val` is for the segmentation model, and so is `test`, of which nothing is known but the images.
A format is a module with `read(dataset) -> Source` and `files(dataset)`.

This module is read by the Snakefile at each start: no torch, no pandas, and no image is decoded.
The full check, `index.prepare`, and what the stages read are in `psa_core.datasets.index`.
"""

import zlib
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from psa_core.datasets import folder, scenes, voc
from psa_core.datasets.contents import Files, digests, read_contents, read_indexed
from psa_core.datasets.source import DatasetError, fail, union

__all__ = [
    "DatasetError",
    "Files",
    "Lists",
    "digests",
    "format_of",
    "label_files",
    "read_contents",
    "read_indexed",
    "read_lists",
    "shards_of",
]

SCORED_LISTS = ("train_aug", "train", "val")
PARTS = ("train_aug", "val", "test")
FORMATS = {"voc": voc, "folder": folder}


class Lists(NamedTuple):
    """Image ids, in list order.

    images: of `train_aug`, `train`, `val` and `test`.
    scored: those of `train_aug`, `train` and `val` that have a mask. Labels are scored on `train`,
    models on `val`; the upper bound trains on those of `train_aug`.
    classes: their names without background, in class order.
    files: of each image; none of the scenes, which are drawn later.
    """

    images: dict[str, list[str]]
    scored: dict[str, list[str]]
    classes: tuple[str, ...]
    files: dict[str, Files]


def read_lists(dataset: dict) -> Lists:
    """The lists of a data set.

    dataset: the config section of that name.
    Raises DatasetError for all that is wrong with the lists and labels.
    """
    if dataset["format"] == "scenes":
        return _list_scenes(dataset)
    source = format_of(dataset).read(dataset, with_labels=False)
    if source.problems:
        fail(source.problems)
    lists = source.lists
    scored = {key: [i for i in lists[key] if i in source.masks] for key in SCORED_LISTS}
    files = {
        image: Files(
            source.images.get(image),
            source.labels.get(image) or source.annotations.get(image),
            source.masks.get(image),
        )
        for image in union(lists)
    }
    return Lists(lists, scored, source.names, files)


def label_files(dataset: dict) -> list[Path]:
    """The list and label files that decide read_lists; Annotations/*.xml are not among them.

    Raises DatasetError where dataset.root is not a folder.
    """
    if dataset["format"] == "scenes":
        return []
    return sorted(set(format_of(dataset).files(dataset).values()))


def shards_of(lists: dict[str, list[str]], shards: int) -> dict[str, list[str]]:
    """Images by shard, sorted: "train_aug_00".."train_aug_65", "val_00".. of 66 shards each.

    A shard is a function of the image's list and name alone: an added image moves no other.
    """
    digits = len(str(shards - 1))
    found: dict[str, list[str]] = {}
    for part in PARTS:
        for image in lists.get(part, ()):
            number = zlib.crc32(image.encode()) % shards
            found.setdefault(f"{part}_{number:0{digits}d}", []).append(image)
    return dict(sorted(found.items()))


def format_of(dataset: dict) -> ModuleType:
    """The module that reads the data set. Raises DatasetError for an unknown format."""
    if dataset["format"] not in FORMATS:
        raise DatasetError(
            f"dataset.format: {dataset['format']!r} cannot be read here: one of {sorted(FORMATS)}"
        )
    return FORMATS[dataset["format"]]


def _list_scenes(dataset: dict) -> Lists:
    lists = scenes.image_names(train=dataset["scenes"]["train"], val=dataset["scenes"]["val"])
    lists = {key: images[: dataset.get("limit")] for key, images in lists.items()}
    return Lists({**lists, "test": []}, lists, scenes.CLASSES, {})  # each scene has its mask
