"""What every format is read into, and the text files that the formats share.

Standard library only: the Snakefile reads the lists at each start.
"""

import csv
import difflib
import io
import os
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple, NoReturn

LISTS = ("train_aug", "train", "val", "test")
IGNORE = 255
MOST_CLASSES = 253  # indices are uint8: 254 and 255 are taken
RESERVED = ("background", "mean")  # names of rows in results/metrics.csv
IMAGE_SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
PROBLEMS_SHOWN = 10


class DatasetError(ValueError):
    """The user's data set is not usable; the message names file, value and remedy."""


@dataclass(frozen=True)
class Source:
    """What the list, label and folder listings of a data set say; no image has been opened.

    names: the classes, without background, in class order (indices 1..C).
    coding: (mask value, class index, name) for each value that a mask may hold.
    lists: image ids of train_aug, train, val and test, in list order.
    labels: image id -> class names in class order; none are asked for an image of test alone.
    images, masks: image id -> file; an image or mask that does not exist has no entry.
    annotations: image id -> file of labels that has not been read.
    problems: what is wrong so far, one message each.
    """

    names: tuple[str, ...]
    coding: list[tuple[int, int, str]]
    lists: dict[str, list[str]]
    labels: dict[str, list[str]]
    images: dict[str, Path]
    masks: dict[str, Path]
    problems: list[str]
    annotations: dict[str, Path] = field(default_factory=dict)


class Row(NamedTuple):
    """One row of a labels csv: line number, image as written, its labels, its split or ""."""

    line: int
    image: str
    labels: list[str]
    split: str


def fail(problems: list[str]) -> NoReturn:
    """Raise one DatasetError for all problems: the first ten and how many more there are."""
    shown = "\n".join(f"  - {problem}" for problem in problems[:PROBLEMS_SHOWN])
    hidden = len(problems) - PROBLEMS_SHOWN
    more = f"\n  ... and {hidden} more" if hidden > 0 else ""
    raise DatasetError(f"{len(problems)} problem(s) in the data set:\n{shown}{more}")


def without_suffix(name: str) -> str:
    """`a/b.JPG` -> `a/b`; other dots belong to the name."""
    path = posixpath.normpath(name)
    stem, suffix = posixpath.splitext(path)
    return stem if suffix.lower() in IMAGE_SUFFIXES else path


def image_id(name: str) -> str:
    """The image's name in file names and targets: `cats/my pic.jpg` -> `cats__my_pic`."""
    return re.sub(r"[^\w.+-]", "_", without_suffix(name).replace("/", "__"))


def is_hostile(name: str) -> bool:
    """Whether a name could lead out of the images folder, or is not a POSIX path."""
    path = PurePosixPath(name)
    return not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'cat'?)`, or an empty string where nothing is close."""
    lowered = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), lowered, n=1)
    return f" (did you mean {lowered[close[0]]!r}?)" if close else ""


def resolve(root: Path, name: str | None, default: str, suffix: str = "") -> Path:
    """A file or folder of the config: in its usual place, below root, or as a path.

    name: as the user wrote it, with or without suffix; None for the default.
    default: the usual place, relative to root. A name is sought next to it first.
    Returns the first that exists, else the usual place, for the error message.
    """
    usual = root / f"{default}{suffix}"
    if not name:
        return usual
    places = [usual.parent / f"{name}{suffix}", usual.parent / name, root / name, Path(name)]
    missing = places[1] if Path(name).suffix else places[0]
    return next((place for place in places if place.exists()), missing)


def root_of(dataset: dict) -> Path:
    """The data set's folder. Raises DatasetError where it is not one."""
    root = Path(str(dataset.get("root") or ""))
    if not dataset.get("root") or not root.is_dir():
        raise DatasetError(
            f"dataset.root: {dataset.get('root')!r} is not a folder (seen from {Path.cwd()}): "
            "set it to the folder of your data set"
        )
    return root


def class_names(dataset: dict, problems: list[str]) -> tuple[str, ...] | None:
    """`dataset.classes` as strings, None where all classes are meant."""
    if dataset.get("classes") is None:
        return None
    names = []
    for name in dataset["classes"]:
        if not isinstance(name, str | int) or isinstance(name, bool):
            problems.append(
                f"dataset.classes: {name!r} is not a name (YAML reads no, yes, on, off, null and "
                "numbers with a point as values): put it in quotes"
            )
        elif str(name) in names:
            problems.append(f"dataset.classes: {name!r} is there twice: remove one")
        else:
            names.append(str(name))
    if not dataset["classes"]:
        problems.append("dataset.classes: empty list: name at least one class, or null for all")
    return tuple(names)


def read_text(path: Path, problems: list[str], remedy: str) -> str | None:
    """A UTF-8 file, with or without BOM; None and a problem where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        problems.append(
            f"{path}: byte {error.object[error.start]:#04x} at {error.start} is not UTF-8: "
            "save the file as UTF-8"
        )
    except OSError as error:
        problems.append(f"{path}: {error.strerror or error}: {remedy}")
    return None


def read_list(path: Path, problems: list[str], remedy: str) -> list[str]:
    """Non-empty lines of a list file, stripped. A missing file is a problem."""
    text = read_text(path, problems, remedy) or ""
    return [line.strip() for line in text.splitlines() if line.strip()]


def report_duplicates(path: Path, ids: list[str], problems: list[str]) -> None:
    """Add a problem for each id that occurs again."""
    seen = set()
    for name in ids:
        if name in seen:
            problems.append(f"{path}: {name!r} is listed twice: remove one")
        seen.add(name)


def union(lists: dict[str, list[str]]) -> list[str]:
    """Each image of the lists once, in the order of train_aug, train, val, test."""
    return list(dict.fromkeys(image for images in lists.values() for image in images))


def read_rows(path: Path, problems: list[str]) -> list[Row] | None:
    """Rows of a labels csv (`image,labels`, optional `split`), every value a string.

    Labels are separated by `;` if any row holds one, else by white space.
    Returns None, and reports why, where there is no such table.
    """
    text = read_text(path, problems, "create it (image,labels) or set dataset.labels")
    if text is None:
        return None
    try:
        records = _read_records(path, text, problems)
    except csv.Error as error:
        problems.append(f"{path}: {error}: close each quote, or save it as a plain csv again")
        return None
    if records is None:
        return None
    separator = ";" if any(";" in record["labels"] for _, record in records) else None
    return [
        Row(
            line,
            record["image"],
            [label.strip() for label in record["labels"].split(separator) if label.strip()],
            record.get("split", ""),
        )
        for line, record in records
    ]


def _read_records(
    path: Path, text: str, problems: list[str]
) -> list[tuple[int, dict[str, str]]] | None:
    """(line number, column -> value) of each row; None where a column is missing."""
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True, strict=True)
    header = reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
    missing = [name for name in ("image", "labels") if name not in header]
    if missing:
        problems.append(
            f"{path}: no column {', '.join(missing)} in the header {','.join(header)!r}: "
            "the first line is image,labels or image,labels,split, separated by commas"
        )
        return None
    records = []
    for record in reader:
        if None in record:
            problems.append(
                f"{path}, line {reader.line_num}: {len(header) + len(record.pop(None))} fields, "
                f"the header has {len(header)}: separate labels by ; not by commas"
            )
        records.append((reader.line_num, {k: (v or "").strip() for k, v in record.items()}))
    return records


def scan(folder: Path, stems: Iterable[str], suffixes: Iterable[str]) -> dict[str, list[Path]]:
    """Files of a folder, and of the subfolders that occur in stems, by path without suffix."""
    found: dict[str, list[Path]] = {}
    for parent in sorted({posixpath.dirname(stem) for stem in stems}):
        here = folder / parent
        for name in sorted(os.listdir(here)) if here.is_dir() else ():
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in suffixes:
                found.setdefault(posixpath.join(parent, stem), []).append(here / name)
    return found


def finish_lists(dataset: dict, source: Source) -> None:
    """Check the lists against each other, bring `train` into `train_aug`, apply `limit`.

    An explicit `train` has to lie within `train_aug`, for whose images labels are made; a
    default one is cut to it. Changes source.lists and source.problems in place.
    """
    lists, problems = source.lists, source.problems
    in_training = set(lists["train_aug"])
    if not in_training and not problems:
        problems.append(
            "dataset.train_aug: no image to train on: check the list and dataset.classes"
        )
    problems += [
        f"dataset.{key}: {image!r} is in train_aug as well: take it out of one of the two lists"
        for key in ("val", "test")
        for image in lists[key]
        if image in in_training
    ]
    if dataset.get("train"):
        problems += [
            f"dataset.train: {image!r} is not in train_aug, so no label will be made for it: "
            "add it there or take it out of the train list"
            for image in lists["train"]
            if image not in in_training
        ]
    limit = dataset.get("limit")
    lists["train_aug"] = lists["train_aug"][:limit]
    lists["val"] = lists["val"][:limit]
    lists["test"] = lists["test"][:limit]
    in_training = set(lists["train_aug"])
    lists["train"] = [image for image in lists["train"] if image in in_training]
    problems += [
        f"dataset.train: {image!r} has no mask to be scored on: add it or take it out of the list"
        for image in lists["train"]
        if image not in source.masks
    ]
