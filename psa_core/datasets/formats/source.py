"""What each format is read into, and how the formats read lists, tables and folders.

Standard library only: the Snakefile reads the lists at each start. Files are plain strings here,
not `Path` objects, which would take most of the time for a data set of 100,000 images.
"""

import csv
import difflib
import functools
import io
import os
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, NoReturn

from psa_core.errors import UserError

LISTS = ("train_aug", "train", "val", "test")
IGNORE = 255
MOST_CLASSES = 253  # indices are uint8: 254 and 255 are taken
RESERVED = ("background", "mean")  # names of rows in results/metrics.csv
IMAGE_SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
PROBLEMS_SHOWN = 10
UNSAFE = re.compile(r"[^\w.+-]")  # characters that could break file names or targets


class DatasetError(UserError):
    """The user's data set is not usable; the message names file, value and remedy."""


@dataclass(frozen=True)
class Source:
    """A data set as its lists, label files and folders describe it; no image has been opened.

    names: the classes, without background, in class order (indices 1..C).
    coding: (mask value, class index, name) for each value that a mask may hold.
    lists: image ids of train_aug, train, val and test, in list order.
    labels: image id -> class names in class order; images that are only in test need none.
    images, masks: image id -> path of the file; an image without a mask has no entry in masks.
        Every listed image has an entry in images unless `problems` says which one is missing.
    annotations: image id -> path of its label file, where that has not been read.
    problems: what is wrong so far, one message each.
    """

    names: tuple[str, ...]
    coding: list[tuple[int, int, str]]
    lists: dict[str, list[str]]
    labels: dict[str, list[str]]
    images: dict[str, str]
    masks: dict[str, str]
    problems: list[str]
    annotations: dict[str, str] = field(default_factory=dict)


class Row(NamedTuple):
    """One row of a labels csv: line number, image as written, its labels, its split or ""."""

    line: int
    image: str
    labels: list[str]
    split: str


def fail(problems: list[str]) -> NoReturn:
    """Raise one DatasetError with the first ten problems and the number of the others."""
    shown = "\n".join(f"  - {problem}" for problem in problems[:PROBLEMS_SHOWN])
    hidden = len(problems) - PROBLEMS_SHOWN
    more = f"\n  ... and {hidden} more" if hidden > 0 else ""
    raise DatasetError(f"{len(problems)} problem(s) in the data set:\n{shown}{more}")


@functools.cache
def without_suffix(name: str) -> str:
    """`a/b.JPG` -> `a/b`; other dots belong to the name."""
    path = posixpath.normpath(name)
    stem, suffix = posixpath.splitext(path)
    return stem if suffix.lower() in IMAGE_SUFFIXES else path


def image_id(name: str) -> str:
    """The image's name in file names and targets: `cats/my pic.jpg` -> `cats__my_pic`."""
    return UNSAFE.sub("_", without_suffix(name).replace("/", "__"))


def is_hostile(name: str) -> bool:
    """Whether a name is empty, could lead out of the images folder, or is not a POSIX path."""
    parts = name.split("/")
    return name.startswith("/") or ".." in parts or "\\" in name or {*parts} <= {"", "."}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'cat'?)`, or an empty string where nothing is close."""
    lowered = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), lowered, n=1)
    return f" (did you mean {lowered[close[0]]!r}?)" if close else ""


def resolve(root: Path, name: str | None, default: str, suffix: str = "") -> Path:
    """A file or folder that the config names: next to the usual one, below root, or anywhere.

    name: as the user wrote it, with or without suffix; None for the usual one.
    default: the usual place, relative to root.
    Returns the first place that exists; if none does, the one that an error message should name.
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
    """`dataset.classes` as strings; None where it is not set, which means all classes."""
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
            problems.append(f"dataset.classes: {name!r} is listed twice: remove one")
        else:
            names.append(str(name))
    if not dataset["classes"]:
        problems.append("dataset.classes: empty list: name at least one class, or null for all")
    return tuple(names)


def read_text(path: Path, problems: list[str], remedy: str) -> str | None:
    """Text of a UTF-8 file, with or without BOM. Where it cannot be read, None and a problem."""
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
    """Add a problem for each repetition of an id."""
    seen = set()
    for name in ids:
        if name in seen:
            problems.append(f"{path}: {name!r} is listed twice: remove one")
        seen.add(name)


def union(lists: dict[str, list[str]]) -> list[str]:
    """Each image of the lists once, in the order of train_aug, train, val, test."""
    return list(dict.fromkeys(image for images in lists.values() for image in images))


def read_rows(path: Path, problems: list[str]) -> list[Row] | None:
    """Rows of a labels csv (`image,labels`, optional `split`), all values as strings.

    Labels are separated by `;` if any row contains one, otherwise by white space.
    Where there is no such table, returns None and adds a problem.
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
    separator = ";" if any(";" in labels for _, _, labels, _ in records) else None
    return [
        Row(
            line,
            image,
            [each for label in labels.split(separator) if (each := label.strip())],
            split,
        )
        for line, image, labels, split in records
    ]


def _read_records(
    path: Path, text: str, problems: list[str]
) -> list[tuple[int, str, str, str]] | None:
    """(line number, image, labels, split or "") of each row; None where a column is missing."""
    reader = csv.reader(io.StringIO(text), skipinitialspace=True, strict=True)
    header = [name.strip() for name in next(reader, [])]
    missing = [name for name in ("image", "labels") if name not in header]
    if missing:
        problems.append(
            f"{path}: no column {', '.join(missing)} in the header {','.join(header)!r}: "
            "the first line is image,labels or image,labels,split, separated by commas"
        )
        return None
    image, labels = header.index("image"), header.index("labels")
    split = header.index("split") if "split" in header else -1  # then an empty field
    records = []
    for fields in filter(None, reader):
        if len(fields) > len(header):
            problems.append(
                f"{path}, line {reader.line_num}: {len(fields)} fields, "
                f"the header has {len(header)}: separate labels by ; not by commas"
            )
            del fields[len(header) :]
        fields += [""] * (len(header) + 1 - len(fields))
        row = fields[image].strip(), fields[labels].strip(), fields[split].strip()
        records.append((reader.line_num, *row))
    return records


def scan(folder: Path, stems: Iterable[str], suffixes: Iterable[str]) -> dict[str, list[str]]:
    """Files of a folder, and of the subfolders that occur in stems, by path without suffix."""
    found: dict[str, list[str]] = {}
    for parent in sorted({stem.rpartition("/")[0] for stem in stems}):
        here, below = folder / parent, f"{parent}/" if parent else ""
        for name in sorted(os.listdir(here)) if here.is_dir() else ():
            stem, dot, suffix = name.rpartition(".")
            if dot + suffix.lower() in suffixes:
                found.setdefault(below + stem, []).append(f"{here}/{name}")
    return found


def finish_lists(dataset: dict, source: Source) -> None:
    """Check the lists against each other, bring `train` into `train_aug`, apply `limit`.

    A `train` list that the config names must lie within `train_aug`, because only those images
    get pseudo labels; the default list is reduced to them. Changes source.lists and
    source.problems in place.
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
            f"dataset.train: {image!r} is not in train_aug, so it gets no pseudo label: "
            "add it there or take it out of the train list"
            for image in lists["train"]
            if image not in in_training
        ]
    limit = dataset.get("limit")
    if limit:
        for key in ("train_aug", "val", "test"):
            lists[key] = sorted(lists[key])[:limit]  # the order of rows decides nothing
    in_training = set(lists["train_aug"])
    lists["train"] = [image for image in lists["train"] if image in in_training]
    problems += [
        f"dataset.train: {image!r} has no mask to score it on: add one or take it out of the list"
        for image in lists["train"]
        if image not in source.masks
    ]


def absent_classes(source: Source, dataset: dict) -> list[str]:
    """A list of one problem if there are classes that no training image shows, else an empty one.

    It is also empty with `limit`, as a quick try may lack a class, and where labels have not been
    read (`Source.annotations`).
    """
    training = source.lists["train_aug"]
    if dataset.get("limit") or any(image in source.annotations for image in training):
        return []
    present = {name for image in training for name in source.labels.get(image, ())}
    absent = [name for name in source.names if name not in present]
    if not present or not absent:
        return []
    elsewhere = {name for names in source.labels.values() for name in names}
    if dataset["format"] == "folder" and elsewhere & set(absent):
        remedy = "take it out of the labels, masks and classes of the others"
    else:
        remedy = f"write dataset.classes: [{', '.join(n for n in source.names if n in present)}]"
    return [
        f"dataset.classes: no image of train_aug shows {', '.join(absent)}: add images, or {remedy}"
    ]
