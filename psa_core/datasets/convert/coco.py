"""COCO's annotations as a folder that the workflow reads: labels.csv, classes.txt, masks/.

They are written next to COCO's images, which stay where they are. COCO's annotation files are too
large (450 MB) to be read at each start of the workflow, and its masks are not separate files.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from pycocotools import mask as rle

from psa_core.datasets.formats.labels.coco import (
    KEYS,
    by_image,
    classes_of,
    is_coco,
    unknown_categories,
)
from psa_core.datasets.formats.source import DatasetError, is_hostile, without_suffix
from psa_core.runtime import logs
from psa_core.runtime.artifacts import IGNORE, write_label_map, write_lines, write_table

log = logging.getLogger(__name__)


def convert(root: str | Path, splits: dict[str, dict[str, str]]) -> None:
    """Write root/labels.csv, root/classes.txt and root/masks/{folder}/{image}.png.

    splits: for "train" and "val" the folder of `images` and the `annotations`, an instances or
    panoptic JSON file, both relative to root. The PNGs of a panoptic x.json are in the folder x.
    Classes are COCO's things in the order of their ids. A crowd counts as a label of its image,
    and its pixels are ignored. Images that show no thing are left out, as they have no label.
    Raises DatasetError where the splits have different classes or an annotation is not usable.
    """
    root = Path(root)
    rows: list[tuple[str, str, str]] = []
    names: list[str] | None = None
    for split, paths in splits.items():
        source = root / paths["annotations"]
        content = _read(source)
        things = classes_of(content)
        if names not in (None, [thing["name"] for thing in things]):
            raise DatasetError(
                f"{source}: its classes differ from those of the other split: use annotations of "
                "one data set"
            )
        names = [thing["name"] for thing in things]
        index = {thing["id"]: i for i, thing in enumerate(things, start=1)}
        objects = by_image(content["annotations"])
        if unknown := unknown_categories(source, objects, {c["id"] for c in content["categories"]}):
            raise DatasetError(unknown[0])
        images = [image for image in content["images"] if image["id"] in objects]
        shown, unmasked = len(rows), 0
        for image in logs.progress(images, total=len(images), label=split):
            name = f"{paths['images']}/{image['file_name']}"
            if is_hostile(name):
                raise DatasetError(f"{source}: image {name!r} is not below {root}: correct it")
            found = objects[image["id"]]
            labels = sorted({index.get(each["category_id"], 0) for each in found} - {0})
            if not labels:
                continue
            mask: np.ndarray | None
            if "png" in found[0]:
                png = source.with_suffix("") / found[0]["png"]
                mask = panoptic_mask(png, found, index)
            else:
                size = image.get("height"), image.get("width")
                things_of = [each for each in found if each["category_id"] in index]
                try:
                    mask = instance_mask(things_of, size, index) if all(size) else None
                except ValueError as error:
                    raise DatasetError(f"{source}: {error}: correct or remove it") from error
            if mask is None:
                unmasked += 1
            else:
                write_label_map(root / f"masks/{without_suffix(name)}.png", mask)
            # A final ; even after a single label, or "traffic light" would be read as two labels.
            rows.append((name, "".join(f"{names[i - 1]};" for i in labels), split))
        log.info(
            "%s: %d of %d images show a thing", split, len(rows) - shown, len(content["images"])
        )
        if unmasked:
            log.warning(
                "%s: %d images get labels but no mask, as an object has no outline or the image no "
                "size",
                split,
                unmasked,
            )
    write_lines(root / "classes.txt", names or [])
    write_table(root / "labels.csv", pd.DataFrame(rows, columns=["image", "labels", "split"]))


def instance_mask(
    annotations: Sequence[dict], size: tuple[int, int], index: dict[int, int]
) -> np.ndarray | None:
    """Class indices uint8 [H, W] of the objects of an image; 0 background, 255 crowds.

    None where an object has a box but no outline.

    annotations: of an instances JSON (polygons, or run lengths as numbers or compressed).
    index: class index of each category id. Where objects overlap, the smaller one is on top
    (of equal ones the one with the later id); crowds are below all objects.
    Raises ValueError, with the annotation's id, for run lengths that do not fit the size.
    """
    if not all(map(_has_outline, annotations)):
        return None
    mask = np.zeros(size, np.uint8)
    regions = [(each, _region(each, size)) for each in annotations]
    regions.sort(key=lambda pair: (not pair[0].get("iscrowd"), -pair[1].sum(), pair[0]["id"]))
    for each, region in regions:
        mask[region] = IGNORE if each.get("iscrowd") else index[each["category_id"]]
    return mask


def panoptic_mask(path: Path, segments: Sequence[dict], index: dict[int, int]) -> np.ndarray:
    """Class indices uint8 [H, W] of a panoptic PNG; 0 stuff, 255 crowds and unlabelled pixels.

    segments: of a panoptic JSON; a pixel of a segment has R + 256 G + 65536 B = its id, an
    unlabelled one 0. index: class index of each thing's category id.
    Raises DatasetError, with the path, for a pixel of an unknown segment.
    """
    with Image.open(path) as image:
        pixels = np.array(image.convert("RGB")).astype(np.int64)
    ids, inverse = np.unique(pixels @ (1, 256, 256**2), return_inverse=True)
    values = {0: IGNORE}
    for each in segments:
        values[each["id"]] = IGNORE if each.get("iscrowd") else index.get(each["category_id"], 0)
    if unknown := [i for i in ids.tolist() if i not in values]:
        raise DatasetError(
            f"{path}: segments {unknown} are not in its JSON: use PNGs and JSON of one release"
        )
    return np.array([values[i] for i in ids.tolist()], np.uint8)[inverse].reshape(pixels.shape[:2])


def _read(source: Path) -> dict:
    """A JSON of annotations. Raises DatasetError, with the file, for anything else."""
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError(f"{source}: not JSON ({error}): download it again") from error
    if not is_coco(content):
        raise DatasetError(
            f"{source}: lacks a list of {', '.join(KEYS)}: choose an instances or panoptic JSON"
        )
    return content


def _has_outline(annotation: dict) -> bool:
    """Whether an object has run lengths, or polygons of at least three points."""
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, list):
        return bool(segmentation) and all(len(polygon) >= 6 for polygon in segmentation)
    return bool(segmentation)


def _region(annotation: dict, size: tuple[int, int]) -> np.ndarray:
    """Bool [H, W] of a list of polygons, or of run lengths as numbers or as COCO's text.

    Raises ValueError for run lengths that do not sum up to the image's pixels: pycocotools leaves
    the missing pixels uninitialised.
    """
    segmentation = annotation["segmentation"]
    if isinstance(segmentation, list):
        return rle.decode(rle.merge(rle.frPyObjects(segmentation, *size))).astype(bool)
    runs = segmentation["counts"]
    runs = _numbers(runs) if isinstance(runs, str) else runs
    if sum(runs) != size[0] * size[1] or min(runs) < 0:
        raise ValueError(
            f"annotation {annotation['id']}: run lengths of {sum(runs)} pixels, "
            f"but the image has {size[0]} x {size[1]}"
        )
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(size, order="F")


def _numbers(text: str) -> list[int]:
    """Run lengths of COCO's text. From the fourth on, it holds differences to the last but one.

    A number is a series of characters, lowest bits first. A character is "0" plus five bits, plus
    32 if another one follows; the highest bit of the last one is the sign.
    """
    numbers: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - ord("0")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        value -= (bits & 16) << (shift - 4)
        numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
        value = shift = 0
    return numbers
