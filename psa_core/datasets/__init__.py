"""Data sets in VOC's format, as a folder with a csv, or the built-in scenes: one interface.

An image has an id (a safe file name), image-level labels, and a mask or none. Three lists:
`train_aug` trains the networks and gets pseudo labels, `train` is what labels are scored on,
`val` is for the segmentation model. A format is a module with `read(dataset) -> Source` and
`files(dataset)`.

This module is read by the Snakefile at each start: no torch, no pandas, and no image is opened.
The full check, `index.prepare`, and what the stages read are in `psa_core.datasets.index`.
"""

import zlib
from pathlib import Path
from types import ModuleType

from psa_core.datasets import folder, voc
from psa_core.datasets.source import LISTS, DatasetError, Source, fail

__all__ = [
    "DatasetError",
    "format_of",
    "label_files",
    "list_classes",
    "list_images",
    "list_scored",
    "shard_of",
]

FORMATS = {"voc": voc, "folder": folder}


def list_images(dataset: dict) -> dict[str, list[str]]:
    """Image ids of `train_aug`, `train` and `val`, in list order.

    dataset: the config section of that name.
    Raises DatasetError for all that is wrong with the lists and labels.
    """
    if dataset["format"] == "scenes":
        return _list_scenes(dataset)
    return _read_lists(dataset).lists


def list_scored(dataset: dict) -> dict[str, list[str]]:
    """Image ids of `train_aug`, `train` and `val` that have a mask.

    Labels are scored on `train`, models on `val`; the upper bound trains on those of `train_aug`.

    Raises DatasetError as list_images does.
    """
    if dataset["format"] == "scenes":  # each scene has its mask
        return _list_scenes(dataset)
    source = _read_lists(dataset)
    return {key: [i for i in source.lists[key] if i in source.masks] for key in LISTS}


def list_classes(dataset: dict) -> tuple[str, ...]:
    """Class names, without background, in class order.

    Raises DatasetError as list_images does.
    """
    if dataset["format"] == "scenes":
        from psa_core.datasets import scenes

        return scenes.CLASSES
    return _read_lists(dataset).names


def label_files(dataset: dict) -> list[Path]:
    """The list and label files that decide list_images; Annotations/*.xml are not among them.

    Raises DatasetError where dataset.root is not a folder.
    """
    if dataset["format"] == "scenes":
        return []
    return sorted(set(format_of(dataset).files(dataset).values()))


def shard_of(part: str, image: str, shards: int) -> str:
    """The shard that an image of a part of the data set falls in: "train_00".."train_65" of 66.

    It depends on the part ("train" for train_aug, or "val") and the image's name alone.
    """
    return f"{part}_{zlib.crc32(image.encode()) % shards:0{len(str(shards - 1))}d}"


def format_of(dataset: dict) -> ModuleType:
    """The module that reads the data set. Raises DatasetError for an unknown format."""
    if dataset["format"] not in FORMATS:
        raise DatasetError(
            f"dataset.format: {dataset['format']!r} cannot be read here: one of {sorted(FORMATS)}"
        )
    return FORMATS[dataset["format"]]


def _read_lists(dataset: dict) -> Source:
    source = format_of(dataset).read(dataset, with_labels=False)
    if source.problems:
        fail(source.problems)
    return source


def _list_scenes(dataset: dict) -> dict[str, list[str]]:
    from psa_core.datasets import scenes  # it imports voc: not while this package is loading

    lists = scenes.image_names(train=dataset["scenes"]["train"], val=dataset["scenes"]["val"])
    return {key: images[: dataset.get("limit")] for key, images in lists.items()}
