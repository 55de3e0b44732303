"""Masks in the formats of other tools, and as pictures; one module per format.

A module has write(path, images, names): images are `parts.MaskedImage` in the order to be written,
names the classes 1..C. Standard library only here: the Snakefile reads FORMATS at each start.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psa_core.delivery.exports.parts import MaskedImage

# The file that each format is written to. The module has the name of the format.
FORMATS = {
    "coco": "coco.json",
    "coco_polygons": "coco_polygons.json",
    "yolo": "yolo.zip",
    "labelme": "labelme.zip",
    "cvat": "cvat.zip",
    "voc": "voc.zip",
    "overlays": "overlays.zip",
}


def write(
    format: str, path: str | Path, images: Iterable[MaskedImage], names: Sequence[str]
) -> None:
    """Write images and masks to a file in one of `FORMATS`.

    names: the classes 1..C, without background. Raises DatasetError where the format cannot hold
    a name.
    """
    importlib.import_module(f"psa_core.delivery.exports.{format}").write(path, images, names)
