"""Ultralytics' format for segmentation: images/, labels/ with one polygon per row, data.yaml."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from psa_core.datasets.formats.source import without_suffix
from psa_core.delivery.exports.archive import writing
from psa_core.delivery.exports.outlines import outline
from psa_core.delivery.exports.parts import MaskedImage, parts

# Readers truncate or round coordinates to whole pixels, then fill the polygon including its border.
# Points at x + 0.39 and x + 0.41 become the outer pixel x in both cases.
INSET = 0.49
SHIFT = -0.1


def write(path: str | Path, images: Iterable[MaskedImage], names: Sequence[str]) -> None:
    """Write a zip file with the images; classes count from 0."""
    with writing(path) as archive:
        archive.add("data.yaml", description(names))
        for image in images:
            archive.add_file(f"images/{image.name}", image.path)
            archive.add(f"labels/{without_suffix(image.name)}.txt", rows(image))


def description(names: Sequence[str]) -> str:
    """The text of data.yaml. Each name is a JSON string, which YAML reads as it is."""
    classes = "".join(
        f"  {i}: {json.dumps(name, ensure_ascii=False)}\n" for i, name in enumerate(names)
    )
    return f"train: images\nval: images  # replace it by images with true masks\nnames:\n{classes}"


def rows(image: MaskedImage) -> str:
    """One line per part: class, then x and y of each point in shares of width and height."""
    height, width = image.labels.shape
    lines = []
    for part in parts(image.labels):
        points = (outline(part, inset=INSET) + SHIFT) / (width, height)
        lines.append(" ".join([str(part.class_index - 1), *(f"{v:.6f}" for v in points.flatten())]))
    return "".join(f"{line}\n" for line in lines)
