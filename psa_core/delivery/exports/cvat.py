"""CVAT's "Segmentation mask 1.1": VOC's masks of classes and objects, without the images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from psa_core.datasets.formats.source import without_suffix
from psa_core.delivery.exports.archive import writing
from psa_core.delivery.exports.parts import MaskedImage
from psa_core.delivery.exports.voc import add_label_map, add_list, add_masks
from psa_core.runtime.artifacts import IGNORE


def write(path: str | Path, images: Iterable[MaskedImage], names: Sequence[str]) -> None:
    """Write a zip file. Ignored pixels become background: CVAT refuses indices without a label.

    Raises DatasetError for a class name with a colon, which separates fields in labelmap.txt.
    """
    with writing(path) as archive:
        add_label_map(archive, dict(enumerate(["background", *names])))
        listed = []
        for image in images:
            listed.append(without_suffix(image.name))
            labels = np.where(image.labels == IGNORE, np.uint8(0), image.labels)
            add_masks(archive, listed[-1], labels)
        add_list(archive, listed)
