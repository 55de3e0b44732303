"""Corrected masks, and the label maps that a network learns from after a review."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from psa_core.datasets.formats.masks import plain_coding
from psa_core.datasets.formats.source import fail
from psa_core.datasets.index import ImageRow
from psa_core.datasets.masks import checked_mask
from psa_core.runtime.artifacts import read_table

COLUMNS = ["image", "path", "sha256"]
REMEDY = "save it upright with 8 bits, as the pseudo labels are"


def describe_corrections(
    images: Sequence[ImageRow], corrections: Mapping[str, str], names: Sequence[str]
) -> pd.DataFrame:
    """Check corrected masks and describe them in a table, one row per mask.

    corrections: path by image id, for some of the images. names: of the classes 1..C.
    Returns COLUMNS, with the digest of each file's contents.
    Raises DatasetError for all problems together, each with file, value and remedy: a mask that
    cannot be decoded, has other than one 8-bit channel, another size than its image, or a value
    that is neither 0..C nor 255, or one that is not stored as the training would read it.
    """
    coding = plain_coding(names)
    rows, problems = [], []
    for image in images:
        if path := corrections.get(image.image):
            mask, found = checked_mask(path, coding, image.path)
            if mask is not None and not _is_stored_so(mask, path):
                found = [f"{path}: stored turned, or with fewer than 8 bits per pixel: {REMEDY}"]
            problems += found
            rows.append((image.image, path, hashlib.sha256(Path(path).read_bytes()).hexdigest()))
    if problems:
        fail(problems)
    return pd.DataFrame(rows, columns=COLUMNS)


def _is_stored_so(mask: np.ndarray, path: str) -> bool:
    """Whether a file has these values as they are; trainings neither turn nor scale them."""
    with Image.open(path) as image:
        stored = np.asarray(image)
    return stored.dtype == np.uint8 and np.array_equal(stored, mask)


def find_labels(
    images: Iterable[ImageRow], listed: Collection[str], pattern: str, table: str | Path | None
) -> tuple[list[ImageRow], list[str]]:
    """The images that are listed, and the path of each one's label map.

    listed: image ids. pattern: of the label maps, "results/pseudo_labels/{}.png".
    table: of `describe_corrections`, whose masks replace label maps, or None.
    """
    corrected = read_corrections(table) if table else {}
    found = [row for row in images if row.image in listed]
    return found, [corrected.get(row.image, pattern.format(row.image)) for row in found]


def read_corrections(table: str | Path) -> dict[str, str]:
    """Path of the corrected mask by image id, from a table of `describe_corrections`."""
    rows = read_table(table)
    return dict(zip(rows["image"], rows["path"], strict=True))
