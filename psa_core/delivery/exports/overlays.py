"""Pictures to look at and to share: each photograph tinted by its mask, and a legend."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from psa_core.datasets.formats.source import without_suffix
from psa_core.delivery.exports.archive import writing
from psa_core.delivery.exports.parts import MaskedImage
from psa_core.evaluation.overlay import legend, overlay

QUALITY = 90
LONGEST = 65_500  # pixels of a side that libjpeg writes


def write(path: str | Path, images: Iterable[MaskedImage], names: Sequence[str]) -> None:
    """Write a zip file with a JPEG (PNG for a huge one) named like each image, and legend.svg."""
    with writing(path) as archive:
        archive.add("legend.svg", "\n".join(legend(names)) + "\n")
        for image in images:
            content = io.BytesIO()
            picture = Image.fromarray(overlay(image.photograph(), image.labels))
            suffix = ".jpg" if max(picture.size) <= LONGEST else ".png"
            picture.save(content, Image.registered_extensions()[suffix], quality=QUALITY)
            archive.add_stored(f"{without_suffix(image.name)}{suffix}", content.getvalue())
