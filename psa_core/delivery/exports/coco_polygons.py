"""COCO's instances JSON; each part is an annotation with one polygon."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from psa_core.delivery.exports.coco import write_instances
from psa_core.delivery.exports.outlines import outline
from psa_core.delivery.exports.parts import MaskedImage, Part

INSET = 0.01


def write(path: str | Path, images: Iterable[MaskedImage], names: Sequence[str]) -> None:
    """Write all images and parts; pycocotools decodes each polygon to the pixels of its part."""
    write_instances(path, images, names, segmentation=polygons)


def polygons(part: Part, size: tuple[int, int]) -> list[list[float]]:
    """One polygon, x and y in turn, whatever the size of the image."""
    return [outline(part, inset=INSET).round(2).flatten().tolist()]
