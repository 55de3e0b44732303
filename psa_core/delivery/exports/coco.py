"""COCO's instances JSON; each part is an annotation with its run lengths."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from pycocotools import mask as rle

from psa_core.delivery.exports.parts import MaskedImage, Part, parts
from psa_core.runtime.artifacts import replacing

Segmentation = Callable[[Part, tuple[int, int]], object]


def write(path: str | Path, images: Iterable[MaskedImage], names: Sequence[str]) -> None:
    """Write all images and parts; the ids of the categories are the class indices 1..C."""
    write_instances(path, images, names, segmentation=run_lengths)


def write_instances(
    path: str | Path,
    images: Iterable[MaskedImage],
    names: Sequence[str],
    *,
    segmentation: Segmentation,
) -> None:
    """Write an instances JSON.

    segmentation: what a part with the (height, width) of its image has in that field.
    An annotation has a score, the mean of its pixels, where the confidence is known.
    """
    described: list[dict] = []
    annotations: list[dict] = []
    for number, image in enumerate(images, start=1):
        height, width = image.labels.shape
        described.append({"id": number, "file_name": image.name, "width": width, "height": height})
        for part in parts(image.labels):
            rows, columns = part.pixels.shape
            annotation = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": part.class_index,
                "bbox": [part.left, part.top, columns, rows],
                "area": int(part.pixels.sum()),
                "iscrowd": 0,
                "segmentation": segmentation(part, (height, width)),
            }
            if image.confidence is not None:
                inside = image.confidence[part.box][part.pixels]
                annotation["score"] = round(float(inside.mean()) / 255, 4)
            annotations.append(annotation)
    content = {
        "info": {},
        "licenses": [],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, start=1)],
        "images": described,
        "annotations": annotations,
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def run_lengths(part: Part, size: tuple[int, int]) -> dict[str, object]:
    """COCO's compressed run lengths of a part in an image of (height, width)."""
    mask = np.zeros(size, np.uint8, order="F")
    mask[part.box] = part.pixels
    encoded = rle.encode(mask)
    return {"size": list(size), "counts": encoded["counts"].decode("ascii")}
