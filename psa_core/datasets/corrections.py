"""Corrected masks, and the label maps that a network learns from after a review."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from psa_core.datasets.formats.corrections import OUTLINES
from psa_core.datasets.formats.source import Coding, DatasetError, fail
from psa_core.datasets.index import ImageRow
from psa_core.datasets.labelme import read_outlines
from psa_core.datasets.masks import checked_mask
from psa_core.runtime.artifacts import flush_all, read_table, write_label_map

COLUMNS = ["image", "path", "sha256"]


def write_corrections(
    images: Sequence[ImageRow],
    corrections: Mapping[str, str],
    names: Sequence[str],
    coding: Coding,
    pattern: str,
) -> pd.DataFrame:
    """Check corrected masks, write them as class indices, and describe these in a table.

    corrections: path by image id, for some of the images. names: of the classes 1..C.
    coding: of masks, as in `Source`; outlines name their classes.
    pattern: of the files to write, "results/dataset/corrections/{}.png".
    Returns COLUMNS, with the digest of each file's contents.
    Raises DatasetError for all problems together, each with file, value and remedy: a file that
    cannot be decoded, or has another size than its image, or a value, colour or label that is not a
    class.
    """
    rows, problems = [], []
    for image in images:
        source = corrections.get(image.image)
        if source is None:
            continue
        mask, found = _read(source, image, names, coding)
        problems += found
        if mask is not None:
            path = pattern.format(image.image)
            write_label_map(path, mask)
            rows.append((image.image, path, hashlib.sha256(Path(path).read_bytes()).hexdigest()))
    if problems:
        fail(problems)
    flush_all(Path(path) for _, path, _ in rows)
    return pd.DataFrame(rows, columns=COLUMNS)


def _read(
    path: str, image: ImageRow, names: Sequence[str], coding: Coding
) -> tuple[np.ndarray | None, list[str]]:
    """(mask as class indices uint8 [H, W], []), or (None, problems)."""
    if not path.lower().endswith(OUTLINES):
        return checked_mask(path, coding, image.path)
    try:
        return read_outlines(path, names, (image.height, image.width)), []
    except DatasetError as error:
        return None, [str(error)]


def find_labels(
    images: Iterable[ImageRow], listed: Collection[str], pattern: str, table: str | Path | None
) -> tuple[list[ImageRow], list[str]]:
    """The images that are listed, and the path of each one's label map.

    listed: image ids. pattern: of the label maps, "results/pseudo_labels/{}.png".
    table: of `write_corrections`, whose masks replace label maps, or None.
    """
    corrected = read_corrections(table) if table else {}
    found = [row for row in images if row.image in listed]
    return found, [corrected.get(row.image, pattern.format(row.image)) for row in found]


def read_corrections(table: str | Path) -> dict[str, str]:
    """Path of the corrected mask by image id, from a table of `write_corrections`."""
    rows = read_table(table)
    return dict(zip(rows["image"], rows["path"], strict=True))
