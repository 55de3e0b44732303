"""Small data sets on disk, in VOC's format and as a folder, and the errors of broken ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from psa_core.datasets import formats
from psa_core.datasets.contents import Digests
from psa_core.datasets.formats.source import DatasetError, Source
from psa_core.datasets.inventory import Inventory

SIZE = (40, 32)  # width, height
VOC_LABELS = {"a": ["person", "cat"], "b": ["dog"], "c": ["bus"], "d": ["cat"], "e": ["bus"]}


def write_image(path: Path, mode: str = "RGB", size: tuple[int, int] = SIZE, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path, **options)


def write_mask(path: Path, values=(0,), size: tuple[int, int] = SIZE, mode: str = "L") -> None:
    """A mask whose first pixels have the values, the others the first of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.full((size[1], size[0]), values[0], np.uint8)
    mask.flat[: len(values)] = values
    Image.fromarray(mask).convert(mode).save(path)


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_labels(root: Path, *rows: str, header: str = "image,labels,split") -> None:
    write_text(root / "labels.csv", "\n".join([header, *rows]) + "\n")


def write_lists(root: Path, **lists: str) -> None:
    """Lists of a devkit, for example train="a b"."""
    for key, images in lists.items():
        write_text(root / f"ImageSets/Segmentation/{key}.txt", "\n".join(images.split()) + "\n")


def annotation(*names: str) -> str:
    """VOC's XML for objects of these classes; each is difficult and has a part."""
    objects = "".join(
        f"<object><difficult>1</difficult><part><name>head</name></part><name>{name}</name>"
        "</object>"
        for name in names
    )
    return f"<annotation><folder>VOC2012</folder>{objects}</annotation>"


def write_voc(root: Path) -> dict:
    """Five images: train_aug a b c, train a c, val d e; masks for all but b; labels in XML.

    Returns the config section `dataset` for the classes dog and cat.
    """
    for image, labels in VOC_LABELS.items():
        write_image(root / f"JPEGImages/{image}.jpg")
        write_text(root / f"Annotations/{image}.xml", annotation(*labels))
    for image in "acde":
        write_mask(root / f"SegmentationClass/{image}.png", [0, 8, 6, 255])
    write_lists(root, train_aug="a b c", train="a c", val="d e")
    classes = {"classes": ["dog", "cat"], "others": "background"}
    return {"format": "voc", "root": str(root), "shards": 3, **classes}


def write_folder(root: Path) -> dict:
    """Four images of two classes: x, cats/y and z for training, w for val; masks for x and w.

    Returns the config section `dataset`.
    """
    for image in ("x.jpg", "cats/y.PNG", "z.webp", "w.bmp"):
        write_image(root / "images" / image)
    write_labels(root, "x.jpg,cat dog,train", "cats/y,cat,train", "z.webp,dog,train", "w,cat,val")
    write_mask(root / "masks/x.png", [0, 1, 2, 255])
    write_mask(root / "masks/w.png", [1])
    return {"format": "folder", "root": str(root), "shards": 3, "classes": None}


def inventory(dataset: dict) -> Inventory:
    """The inventory of a data set; the digests are kept beside it."""
    return Inventory(dataset, Digests(f"{dataset['root']}.contents.json"))


def read(dataset: dict) -> Source:
    """What a data set holds that must have no problems."""
    source = formats.read(dataset)
    assert source.problems == []
    return source


def check_problem(dataset: dict, *parts: str) -> str:
    """The error of the inventory of a broken data set, whose message must contain each part."""
    with pytest.raises(DatasetError) as error:
        inventory(dataset)
    for part in parts:
        assert part in str(error.value)
    return str(error.value)
