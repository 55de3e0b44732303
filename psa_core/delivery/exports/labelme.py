"""LabelMe's format: a JSON file beside each image, with one polygon per part."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from psa_core.datasets.formats.source import without_suffix
from psa_core.delivery.exports.archive import writing
from psa_core.delivery.exports.outlines import outline
from psa_core.delivery.exports.parts import MaskedImage, parts

VERSION = "5.5.0"  # of LabelMe, whose fields these are
INSET = 0.01


def write(path: str | Path, images: Iterable[MaskedImage], names: Sequence[str]) -> None:
    """Write a zip file with the images and a JSON file for each."""
    with writing(path) as archive:
        for image in images:
            archive.add_file(image.name, image.path)
            content = json.dumps(description(image, names), ensure_ascii=False)
            archive.add(f"{without_suffix(image.name)}.json", content)


def description(image: MaskedImage, names: Sequence[str]) -> dict[str, object]:
    """The content of an image's JSON file; LabelMe reads the image itself from its file."""
    height, width = image.labels.shape
    shapes = [
        {
            "label": names[part.class_index - 1],
            "points": outline(part, inset=INSET).round(2).tolist(),
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
        }
        for part in parts(image.labels)
    ]
    return {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": PurePosixPath(image.name).name,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
