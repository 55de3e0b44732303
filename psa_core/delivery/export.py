"""`psa export`: a folder of masks in the format of another tool."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from psa_core.datasets.decode import upright_size
from psa_core.datasets.formats.source import (
    IMAGE_SUFFIXES,
    RESERVED,
    DatasetError,
    image_id,
    without_suffix,
)
from psa_core.delivery.exports import FORMATS, write
from psa_core.delivery.exports.parts import MaskedImage
from psa_core.runtime import logs
from psa_core.runtime.artifacts import IGNORE, read_label_map, read_lines

log = logging.getLogger(__name__)


class Found(NamedTuple):
    """An image and its mask.

    name: of the image, relative to the folder of images. mask: the same of the mask in its folder.
    """

    name: str
    image: Path
    mask: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `psa export`."""
    parser.add_argument(
        "masks", type=Path, metavar="MASKS", help="folder of masks, PNGs of class indices"
    )
    parser.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="their images")
    parser.add_argument(
        "--classes",
        type=Path,
        required=True,
        metavar="FILE",
        help="one class per line in the order of the indices, as in results/dataset/classes.txt; "
        "background may be the first",
    )
    parser.add_argument("--format", choices=FORMATS, required=True, help="see docs/exports.md")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="the .json or .zip to write"
    )
    parser.add_argument(
        "--confidence",
        type=Path,
        metavar="FOLDER",
        help="confidences of the masks' pixels, 8-bit PNGs, for the scores in COCO's JSON",
    )


def run(options: argparse.Namespace) -> int:
    """Write the file and return 0. Raises DatasetError for unusable arguments or files."""
    suffix = Path(FORMATS[options.format]).suffix
    if options.output.suffix != suffix:
        raise DatasetError(
            f"--output {options.output}: the format {options.format} is a {suffix} file: name it so"
        )
    if options.confidence and not options.confidence.is_dir():
        raise DatasetError(
            f"--confidence {options.confidence}: no such folder: make it by psa predict "
            "--confidence, or leave the option out"
        )
    names = read_names(options.classes)
    found = find(options.masks, options.images)
    reading = (read(each, options.masks, options.confidence, names) for each in found)
    images = logs.progress(reading, total=len(found), label="images")
    write(options.format, options.output, images, names)
    print(f"{options.output}: {len(found)} images")
    return 0


def read_names(path: Path) -> list[str]:
    """Class names without background. Raises DatasetError where there is no such file."""
    if not path.is_file():
        raise DatasetError(f"--classes {path}: no such file: write one class per line")
    names = [line.strip() for line in read_lines(path) if line.strip()]
    return names[1:] if names[:1] == [RESERVED[0]] else names


def find(masks: Path, images: Path) -> list[Found]:
    """Images and their masks, sorted by name; images without a mask are left out.

    The mask of `cats/my pic.jpg` is `cats/my pic.png`, or `cats__my_pic.png` as the workflow names
    it. Files in the folder of masks without an image are left out with a warning.
    Raises DatasetError where a folder is missing, no mask has an image, or a mask has several.
    """
    for option, folder in {"MASKS": masks, "--images": images}.items():
        if not folder.is_dir():
            raise DatasetError(f"{option} {folder}: no such folder: correct the path")
    files = {path.relative_to(masks).as_posix() for path in masks.rglob("*.png")}
    found: dict[str, Found] = {}
    for path in sorted(images.rglob("*")):
        if path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
            continue
        name = path.relative_to(images).as_posix()
        candidates = (f"{without_suffix(name)}.png", f"{image_id(name)}.png")
        mask = next((file for file in candidates if file in files), None)
        if mask is None or path == masks / mask:
            continue
        first = found.setdefault(mask, Found(name, path, mask))
        if first.name != name:
            raise DatasetError(
                f"{masks / mask}: the mask of {first.name} or of {name} in {images}? Rename one"
            )
    if not found:
        raise DatasetError(
            f"{masks}: none of its {len(files)} PNG files is the mask of an image in {images}: a "
            "mask has the name of its image and .png; correct MASKS or --images"
        )
    if unused := sorted(files - found.keys()):
        log.warning("%s: %d PNG files have no image, first %s", masks, len(unused), unused[0])
    return sorted(found.values())


def read(found: Found, masks: Path, confidence: Path | None, names: Sequence[str]) -> MaskedImage:
    """Read a mask from its folder and, from the folder `confidence`, the file of the same name.

    Raises DatasetError where the mask has values that are no classes, or a file cannot be read or
    has another size than the image.
    """
    size = upright_size(found.image)
    if size is None:
        raise DatasetError(f"{found.image}: cannot be decoded: replace the file")
    labels = _read_8_bit(masks / found.mask, found.image, size)
    if unknown := np.setdiff1d(labels, [*range(len(names) + 1), IGNORE]).tolist():
        raise DatasetError(
            f"{masks / found.mask}: values {unknown}, but --classes names {len(names)} classes: "
            "correct the list or the mask"
        )
    if confidence and not (confidence / found.mask).is_file():
        raise DatasetError(
            f"{confidence / found.mask}: no such file: run psa predict --confidence again"
        )
    values = _read_8_bit(confidence / found.mask, found.image, size) if confidence else None
    return MaskedImage(found.name, found.image, labels, values)


def _read_8_bit(path: Path, image: Path, size: tuple[int, int]) -> np.ndarray:
    """A PNG of one channel, uint8 [H, W], that must have the (width, height) of its image."""
    try:
        array = read_label_map(path)
    except ValueError as error:
        raise DatasetError(
            f"{path}: cannot be read as a grey or palette PNG of 8 bits: replace it"
        ) from error
    height, width = array.shape
    if (width, height) != size:
        raise DatasetError(
            f"{path}: {width} x {height} pixels, but {image} has {size[0]} x {size[1]}: make it "
            "again at the image's size"
        )
    return array
