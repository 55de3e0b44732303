"""The index of a data set: every image and mask checked once, before hours of work.

`prepare` makes index.csv and classes.csv; the stages read those and never the user's format.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from psa_core.datasets import format_of
from psa_core.datasets.source import LISTS, DatasetError, Source, fail, union

SMALLEST_SIDE = 32  # one cell of a feature map at output stride 32
UNLISTED = 254  # entry of Classes.lookup for a value that no mask may hold


@dataclass(frozen=True)
class Classes:
    """The classes and what the values of a mask mean.

    names: class names without background; names[k] has index k + 1.
    lookup: uint8 [256], class index of each mask value: 0 background, 1..C, 255 ignore.
    """

    names: tuple[str, ...]
    lookup: np.ndarray = field(repr=False, compare=False)

    def indices(self, labels: str) -> list[int]:
        """Class indices (1..C, sorted) of the index's column `labels`, e.g. "cat;dog"."""
        return sorted(self.names.index(name) + 1 for name in labels.split(";") if name)

    def mask_values(self, labels: np.ndarray) -> np.ndarray:
        """Class indices (0..C) as the values that they have in the data set's masks, uint8."""
        values = [np.flatnonzero(self.lookup == i)[0] for i in range(len(self.names) + 1)]
        return np.array(values, np.uint8)[labels]

    def read_mask(self, path: str | Path) -> np.ndarray:
        """Mask as class indices, uint8 [H, W].

        Raises DatasetError where it is no 8-bit PNG of one channel, or holds an unlisted value.
        """
        image = _open(path)
        if problem := _mask_problem(path, image, self.lookup):
            raise DatasetError(problem)
        return self.lookup[np.asarray(image)]


def prepare(
    dataset: dict, *, progress: Callable[[int, int], None] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Check a whole data set and describe it in two tables.

    dataset: the config section of that name, format voc or folder (scenes are read as voc).
    progress: called with (images done, images in all) after each image.
    Returns the index, one row an image (image, path, labels, mask, height, width, train_aug,
    train, val, test), and the classes, one row a mask value (mask_value, index, name).
    Every image is decoded and every mask compared with its image and the classes.
    Raises DatasetError for all problems together, each with file, value and remedy.
    """
    source = format_of(dataset).read(dataset)
    problems = source.problems + _class_problems(source, dataset)
    classes = pd.DataFrame(source.coding, columns=["mask_value", "index", "name"])
    lookup = _lookup(classes)
    images = [image for image in union(source.lists) if image in source.images]
    sizes = {}

    def check(image):
        return _check_files(source.images[image], source.masks.get(image), lookup)

    with ThreadPoolExecutor() as pool:  # Pillow decodes without the interpreter's lock
        for done, (image, (size, found)) in enumerate(
            zip(images, pool.map(check, images), strict=True), start=1
        ):
            sizes[image] = size
            problems += found
            if progress:
                progress(done, len(images))
    if problems:
        fail(problems)
    return _index(source, images, sizes), classes


def read_index(path: str | Path, images: Sequence[str] | None = None) -> pd.DataFrame:
    """The index that `prepare` made, with its column types; `mask` is "" where there is none.

    images: only the rows of these images, in their order. Raises KeyError where one has no row.
    """
    texts = ("image", "path", "labels", "mask")
    table = pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=False)
    if images is None:
        return table
    return table.set_index("image", drop=False).loc[list(images)].reset_index(drop=True)


def read_classes(path: str | Path) -> Classes:
    """The classes.csv that `prepare` made."""
    table = pd.read_csv(path, dtype={"name": str}, keep_default_na=False)
    classes = table[table["index"].between(1, UNLISTED - 1)].sort_values("index")
    return Classes(tuple(classes["name"]), _lookup(table))


def read_image(path: str | Path) -> np.ndarray:
    """Image as RGB, uint8 [H, W, 3], writable.

    Grey, palette, RGBA and CMYK images are converted. The pixels stay in stored order: a mask
    is aligned with them, so an EXIF orientation is not applied, as in VOC's tools.
    Raises DatasetError, with the path, where the file cannot be decoded.
    """
    return np.array(_open(path).convert("RGB"))


def _open(path: str | Path) -> Image.Image:
    """The decoded image in its own mode."""
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except Exception as error:  # Pillow's decoders raise a dozen types on damaged files
        raise DatasetError(f"{path}: cannot be decoded ({error}): replace the file") from error


def _check_files(
    path: Path, mask: Path | None, lookup: np.ndarray
) -> tuple[tuple[int, int], list[str]]:
    """(width, height) of an image, and what is wrong with it and its mask."""
    try:
        image = _open(path)
    except DatasetError as error:
        return (0, 0), [str(error)]
    problems = []
    width, height = image.size
    if min(image.size) < SMALLEST_SIDE:
        problems.append(
            f"{path}: {width} x {height} pixels: at least {SMALLEST_SIDE} a side are needed; "
            "enlarge it or take it out of the lists"
        )
    if image.mode.startswith(("I", "F")):
        problems.append(f"{path}: pixels of mode {image.mode}: save it with 8 bits a channel")
    if mask is not None:
        try:
            found = _open(mask)
        except DatasetError as error:
            return image.size, [*problems, str(error)]
        if found.size != image.size:
            problems.append(
                f"{mask}: {found.width} x {found.height} pixels, its image {path} has "
                f"{width} x {height}: make the mask again at the image's size"
            )
        if problem := _mask_problem(mask, found, lookup):
            problems.append(problem)
    return image.size, problems


def _mask_problem(path: str | Path, mask: Image.Image, lookup: np.ndarray) -> str | None:
    if mask.mode not in ("L", "P"):
        return (
            f"{path}: mode {mask.mode}, a mask has one channel of 8 bits: save class indices as "
            "a grey or palette PNG (colours: look each up in your palette first)"
        )
    present = np.flatnonzero(mask.histogram())
    unlisted = present[lookup[present] == UNLISTED].tolist()
    if unlisted:
        listed = np.flatnonzero(lookup != UNLISTED).tolist()
        return f"{path}: values {unlisted} are no class: use {listed}, or correct dataset.classes"
    return None


def _class_problems(source: Source, dataset: dict) -> list[str]:
    """Classes without an image to learn from; a quick try with `limit` may lack some."""
    present = {name for image in source.lists["train_aug"] for name in source.labels.get(image, ())}
    absent = [name for name in source.names if name not in present]
    if dataset.get("limit") or not present or not absent:
        return []
    elsewhere = {name for names in source.labels.values() for name in names}
    if dataset["format"] == "folder" and elsewhere & set(absent):
        remedy = "take it out of the labels, masks and classes of the others"
    else:
        remedy = f"write dataset.classes: [{', '.join(n for n in source.names if n in present)}]"
    shown = ", ".join(absent)
    return [f"dataset.classes: no image of train_aug shows {shown}: add images, or {remedy}"]


def _lookup(classes: pd.DataFrame) -> np.ndarray:
    lookup = np.full(256, UNLISTED, np.uint8)
    lookup[classes["mask_value"]] = classes["index"]
    return lookup


def _index(source: Source, images: list[str], sizes: dict[str, tuple[int, int]]) -> pd.DataFrame:
    masks = (source.masks.get(image) for image in images)
    table = pd.DataFrame(
        {
            "image": images,
            "path": [source.images[image].as_posix() for image in images],
            "labels": [";".join(source.labels.get(image, ())) for image in images],
            "mask": ["" if mask is None else mask.as_posix() for mask in masks],
            "height": [sizes[image][1] for image in images],
            "width": [sizes[image][0] for image in images],
        }
    )
    for key in LISTS:
        table[key] = table["image"].isin(source.lists[key]).astype(int)
    return table
