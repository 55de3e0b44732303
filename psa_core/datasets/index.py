"""The index: images and masks of a shard, each file checked once before hours of work.

Stages read these tables and masks, never the user's own files of labels and lists.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from psa_core.datasets import formats
from psa_core.datasets.decode import SMALLEST_SIDE, examine, read_image, upright_size
from psa_core.datasets.formats.reading import Reading, reading_of
from psa_core.datasets.formats.source import DatasetError, Source, fail, union
from psa_core.datasets.masks import checked_mask, size_problems
from psa_core.errors import UserError
from psa_core.runtime.artifacts import REBUILD, replacing
from psa_core.runtime.files import refusal
from psa_core.runtime.manifests import head_of


class ImageRow(NamedTuple):
    """One image of the index.

    image: its id. path: of the file. sha256: digest of the file's contents, hexadecimal.
    labels: class names in class order. classes: their indices 1..C. Both are empty for an image
    that is only in test. height, width: in pixels. bands, value_range: see `Reading`.
    """

    image: str
    path: str
    sha256: str
    labels: tuple[str, ...]
    classes: tuple[int, ...]
    height: int
    width: int
    bands: tuple[int, ...] = ()
    value_range: tuple[float, ...] = ()

    @property
    def reading(self) -> Reading:
        return Reading(self.bands, self.value_range)

    def read(self) -> np.ndarray:
        """The image, uint8 [H, W, 3]; see `decode.read_image`."""
        return read_image(self.path, self.reading)


def describe_images(
    dataset: dict,
    images: Sequence[str],
    *,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Decode the images of a shard and describe them in a table, one row per image.

    dataset: the config section of that name. images: their ids.
    threads: number of images decoded at once.
    progress: called with (images done, total) after each image.
    Returns the columns of `ImageRow`, tuples joined by ";".
    Raises DatasetError for all problems together, each with file, value and remedy: an image that
    cannot be decoded, is smaller than SMALLEST_SIDE, has no 8-bit channels or another size than its
    mask, or whose annotation cannot be used. Problems of the lists come first, alone.
    """
    source, reading = _read_source(dataset, images), reading_of(dataset)
    problems: list[str] = []
    unread = {i: source.annotations[i] for i in images if i in source.annotations}
    labels = {image: source.labels.get(image, []) for image in images}
    if unread:
        labels |= formats.FORMATS[dataset["format"]].read_annotations(unread, problems)
    rows = []
    with ThreadPoolExecutor(threads) as pool:  # Pillow decodes without the interpreter's lock
        described = pool.map(partial(_describe, source, reading), images)
        for done, (image, (digest, size, found)) in enumerate(zip(images, described, strict=True)):
            problems += found
            classes = [source.names.index(name) + 1 for name in labels[image]]
            shown = ";".join(labels[image]), ";".join(map(str, classes))
            read = (";".join(map(str, each)) for each in reading)
            rows.append((image, source.images[image], digest, *shown, *size, *read))
            if progress:
                progress(done + 1, len(images))
    if problems:
        fail(problems)
    return pd.DataFrame(rows, columns=ImageRow._fields)


def write_images(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table of `describe_images`, below a line with a check sum of it."""
    body = table.to_csv(index=False)
    with replacing(path) as temporary:
        temporary.write_text(f"{head_of(body, 'lines')}\n{body}", encoding="utf-8", newline="")


def read_images(
    tables: str | Path | Iterable[str | Path],
    *,
    only: str | None = None,
    listed: Iterable[str] | None = None,
) -> list[ImageRow]:
    """Rows of tables that `write_images` wrote, sorted by image id.

    tables: one file or several. only: the id of the only image to return; it takes precedence over
    listed. listed: ids of the images to return; None returns all.
    Raises UserError naming a table that is damaged, or where `only` has no row.
    """
    paths = [tables] if isinstance(tables, str | Path) else tables
    wanted = {only} if only else None if listed is None else set(listed)
    rows = [
        row for path in paths for row in _rows_of(path) if wanted is None or row.image in wanted
    ]
    if only and not rows:
        raise UserError(f"{', '.join(map(str, paths))}: no row of {only}; {REBUILD}")
    return sorted(rows)


def _rows_of(path: str | Path) -> list[ImageRow]:
    texts = dict.fromkeys(ImageRow._fields, str) | {"height": int, "width": int}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            head, body = file.readline().rstrip("\n"), file.read()
        if head != head_of(body, "lines"):
            raise ValueError("it has no check sum, or has changed since it was written")
        table = pd.read_csv(io.StringIO(body), dtype=texts, keep_default_na=False)
        return [
            ImageRow(
                row.image,
                row.path,
                row.sha256,
                tuple(filter(None, row.labels.split(";"))),
                tuple(map(int, filter(None, row.classes.split(";")))),
                row.height,
                row.width,
                tuple(map(int, filter(None, row.bands.split(";")))),
                tuple(map(float, filter(None, row.value_range.split(";")))),
            )
            for row in table.itertuples(index=False)
        ]
    except ValueError as error:  # of pandas, of int
        reason = str(error).strip()
        raise UserError(f"{path}: not a readable table of images ({reason}); {REBUILD}") from error


def check_classes(images: Iterable[ImageRow], names: Sequence[str]) -> None:
    """Raises DatasetError naming the classes that no image shows: they cannot be learned."""
    present = {name for row in images for name in row.labels}
    if absent := [name for name in names if name not in present]:
        raise DatasetError(
            f"dataset.classes: no training image shows {', '.join(absent)}: add images, or leave "
            "them out"
        )


def read_masks(
    dataset: dict,
    images: Sequence[str],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[str, np.ndarray]]:
    """(image id, mask) for the images of a shard that have a mask.

    dataset: the config section of that name. images: their ids.
    progress: called with (masks done, total) after each mask.
    A mask is uint8 [H, W]: 0 is the background, 1..C are the classes, 255 is ignored.
    Raises DatasetError, after the last mask, for all problems together: a mask that cannot be
    decoded, has another size than its image, or a value or colour that is not a class. Problems of
    the lists come first, alone.
    """
    source = _read_source(dataset, images)
    masked = [image for image in images if image in source.masks]
    problems = []
    for done, image in enumerate(masked, start=1):
        mask, found = checked_mask(source.masks[image], source.coding, source.images[image])
        if mask is not None:
            yield image, mask
        problems += found
        if progress:
            progress(done, len(masked))
    if problems:
        fail(problems)


def resized(image: np.ndarray, longest_side: int | None) -> np.ndarray:
    """An image uint8 [H, W, 3] at the size of `resized_size`, with antialiasing."""
    height, width = image.shape[:2]
    size = resized_size(height, width, longest_side)
    if size == (height, width):
        return image
    return np.array(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


def resized_size(height: int, width: int, longest_side: int | None) -> tuple[int, int]:
    """(height, width) of an image enlarged or reduced to a longest side in pixels.

    None keeps the size. An image is never reduced to less than SMALLEST_SIDE on its other side,
    so that 20,000 x 200 pixels become 3,200 x 32, not 500 x 5.
    """
    if longest_side is None:
        return height, width
    shorter, longer = sorted((height, width))
    scale = max(longest_side / longer, min(1.0, SMALLEST_SIDE / shorter))
    return round(height * scale), round(width * scale)


def _read_source(dataset: dict, images: Sequence[str]) -> Source:
    """Raises DatasetError for any problem, including one that arose after planning."""
    source = formats.read(dataset)
    if source.problems:
        fail(source.problems)
    listed = set(union(source.lists))
    if lost := [image for image in images if image not in listed]:
        raise DatasetError(
            f"{', '.join(lost)}: no longer in the lists of the data set, which changed during the "
            "run: start the workflow again"
        )
    return source


def _describe(
    source: Source, reading: Reading, image: str
) -> tuple[str, tuple[int, int], list[str]]:
    """(SHA-256, (height, width), problems) of an image, whose mask must have its size."""
    path = source.images[image]
    if reason := refusal(path):
        return "", (0, 0), [f"{path}: {reason}: restore the file or correct the lists"]
    content = Path(path).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    size, problems = examine(path, io.BytesIO(content), reading)
    if size is None:
        return digest, (0, 0), problems
    if mask := source.masks.get(image):
        problems += size_problems(path, mask, upright_size(mask))
    return digest, (size[1], size[0]), problems
