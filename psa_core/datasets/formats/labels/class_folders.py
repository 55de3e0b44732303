"""A folder of images for each class: images/cat/tom.jpg, or images/train/cat/tom.jpg."""

import os
from collections.abc import Collection
from pathlib import Path

from psa_core.datasets.formats.labels.names import composed
from psa_core.datasets.formats.labels.rows import Labels, Row
from psa_core.datasets.formats.source import IMAGE_SUFFIXES, without_copies

SPLITS = ("train", "val")
DEEPEST = 3  # folders; two may be right
NOT_CLASSES = {*SPLITS, "test", "training", "valid", "validation", "testing"}


def read(images: Path, others: Collection[Path], problems: list[str]) -> Labels | None:
    """Labels of all images below a folder; those straight in it have none.

    others: folders that hold masks, not images.
    Returns None, and adds a problem, where the folders do not say what the classes are.
    """
    files = _files(images, others)
    folders = [name.split("/")[:-1] for name in files]
    are_split = bool(folders) and all(len(f) == 2 and f[0] in SPLITS for f in folders)
    if not any(folders):
        problems.append(
            f"{images}: no folders with images: move the images of each class into one, or write "
            "labels.csv (image,labels)"
        )
        return None
    for name, parents in zip(files, folders, strict=True):
        if len(parents) > 1 + are_split:
            problems.append(
                f"{images}/{name}: {len(parents)} folders deep, so its class is not clear: move it "
                "to CLASS/, or all images to train/CLASS/ and val/CLASS/"
            )
            return None
    classes = {parents[-1] for parents in folders if parents}
    if classes <= NOT_CLASSES:
        problems.append(
            f"{images}: its folders {', '.join(sorted(classes))} are no classes: move the images "
            "of each class into a folder, or write labels.csv (image,labels)"
        )
        return None
    rows = [
        Row(
            f"folder {'/'.join(parents) or '.'}",
            name,
            [composed(parents[-1])] if parents else [],
            parents[0] if are_split else "",
        )
        for name, parents in zip(files, folders, strict=True)
    ]
    return Labels(rows)


def are_there(images: Path) -> bool:
    """Whether folders below this one hold images."""
    return images.is_dir() and any("/" in name for name in _files(images, [images / "masks"]))


def _files(images: Path, others: Collection[Path]) -> list[str]:
    """Names of the images, relative to the folder."""
    apart = {os.path.realpath(path) for path in others}
    found = []
    for parent, folders, names in os.walk(images, followlinks=True):
        below = os.path.relpath(parent, images).split(os.sep) if parent != str(images) else []
        folders[:] = [
            name
            for name in folders
            if name[0] != "." and os.path.realpath(os.path.join(parent, name)) not in apart
        ]
        if len(below) == DEEPEST:  # deep enough to be refused; links may go on for ever
            folders.clear()
        found += [
            "/".join([*below, name])
            for name in names
            if name[0] != "." and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
        ]
    return sorted(without_copies(found))
