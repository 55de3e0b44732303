"""Corrected masks, `dataset.corrections`: a folder in one of three forms.

    cats__tom.png                      class indices, named like results/pseudo_labels/cats__tom.png
    labelmap.txt, SegmentationClass/   CVAT's "Segmentation mask 1.1", looked up by colour
    cats/tom.json                      LabelMe's outlines; images beside them are not read

Standard library only: the Snakefile lists them at each start. No file but labelmap.txt is opened.
"""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from psa_core.datasets.formats.masks import (
    OF_CVAT,
    find_labelmap,
    plain_coding,
    read_labelmap,
)
from psa_core.datasets.formats.source import IMAGE_SUFFIXES, Coding, image_id, without_suffix

OUTLINES = ".json"


def find_corrections(
    folder: Path, names: Sequence[str], training: Collection[str], problems: list[str]
) -> tuple[dict[str, str], Coding]:
    """Path of the corrected mask by image id, sorted, and what the values of masks mean.

    names: the classes. training: image ids that may have one; others are problems.
    """
    if not folder.is_dir():
        problems.append(f"{folder}: no such folder: add it or correct dataset.corrections")
        return {}, plain_coding(names)
    if (folder / OF_CVAT).is_dir():
        folder /= OF_CVAT
    files = _files(folder)
    outlines = [name for name in files if name.lower().endswith(OUTLINES)]
    if folder.name != OF_CVAT and not outlines:
        files = [name for name in files if "/" not in name]
    found: dict[str, str] = {}
    for name in outlines or files:
        suffix = os.path.splitext(name)[1].lower()
        if suffix not in (*IMAGE_SUFFIXES, OUTLINES):
            continue
        image = image_id(name[: -len(suffix)] if suffix == OUTLINES else without_suffix(name))
        if suffix not in (".png", OUTLINES):
            problems.append(f"{folder}/{name}: save it as PNG, which keeps class indices")
        elif image not in training:
            problems.append(
                f"{folder}/{name}: {image!r} is not in train_aug: name it like the file in "
                "results/pseudo_labels, or remove it"
            )
        elif image in found:
            problems.append(f"{folder}/{name}: so is {found[image]}, of the same image: remove one")
        found[image] = f"{folder}/{name}"
    around = [folder.parent] if folder.name == OF_CVAT else []
    labelmap = find_labelmap(folder, *around)
    if labelmap and not outlines:
        return found, read_labelmap(labelmap, names, problems)
    return found, plain_coding(names)


def _files(folder: Path) -> list[str]:
    """Names of the files in a folder and below it, relative to it, but for hidden ones; sorted."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "."]
        below = os.path.relpath(parent, folder)
        found += [os.path.normpath(os.path.join(below, name)) for name in names if name[0] != "."]
    return sorted(found)
