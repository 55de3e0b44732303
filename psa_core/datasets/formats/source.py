"""What each format is read into, and how the formats read lists, tables and folders.

Standard library only: the Snakefile reads the lists at each start. Files are plain strings here,
not `Path` objects, which would take most of the time for a data set of 100,000 images.
"""

import difflib
import functools
import os
import posixpath
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from psa_core.errors import UserError
from psa_core.runtime.files import refusal

LISTS = ("train_aug", "train", "val", "test")
IGNORE = 255
MOST_CLASSES = 253  # indices are uint8: 254 and 255 are taken
RESERVED = ("background", "mean")  # names of rows in results/metrics.csv
IMAGE_SUFFIXES = frozenset(
    (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
)
LONGEST_ID = 240  # bytes; file systems allow 255, and temporary names are longer by 14
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
    decisions, corrections: image id -> decision of the user, path of the corrected mask; also of
        images that are excluded or beyond `limit`. Formats leave them to `read_review`.
    """

    names: tuple[str, ...]
    coding: list[tuple[int, int, str]]
    lists: dict[str, list[str]]
    labels: dict[str, list[str]]
    images: dict[str, str]
    masks: dict[str, str]
    problems: list[str]
    annotations: dict[str, str] = field(default_factory=dict)
    decisions: dict[str, str] = field(default_factory=dict)
    corrections: dict[str, str] = field(default_factory=dict)


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
            names.append(unicodedata.normalize("NFC", str(name)))
    if not dataset["classes"]:
        problems.append("dataset.classes: empty list: name at least one class, or null for all")
    return tuple(names)


def read_text(path: Path, problems: list[str], remedy: str) -> str | None:
    """Text of a UTF-8 file, with or without BOM. Where it cannot be read, None and a problem."""
    if reason := refusal(path):
        problems.append(f"{path}: {reason}: {remedy}")
        return None
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


def look_alike(folder: Path, name: str) -> str:
    """` (there: 'x.heic')`: a file whose name resembles that of a missing image, else nothing."""
    parent, _, last = name.rpartition("/")
    if (folder / last).is_file():
        return f" (there: {last!r}, without {parent + '/'!r})"
    here = folder / parent
    stem = _folded(without_suffix(last))
    for other in sorted(os.listdir(here)) if here.is_dir() else ():
        if _folded(other.rpartition(".")[0]) == stem or _folded(other) == _folded(last):
            same = unicodedata.normalize("NFC", other) == unicodedata.normalize("NFC", last)
            return f" (there: {other!r}{', which differs in its Unicode form' if same else ''})"
    return ""


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def choose_masks(folder: Path, found: dict[str, list[str]], problems: list[str]) -> dict[str, str]:
    """Path of the .png of each image; images that have only another type of file are a problem.

    found: by image id, files in the folder of the image's name.
    """
    masks = {}
    others = []
    for image, paths in found.items():
        if png := next((path for path in paths if path.lower().endswith(".png")), None):
            masks[image] = png
        else:
            others.append(paths[0])
    if others:
        problems.append(
            f"{folder}: {len(others)} of {len(found)} masks are not .png, the first is "
            f"{posixpath.basename(others[0])}: save them as PNG with 8 bits (a .jpg has changed "
            "the values: draw or export it again), or move them away"
        )
    return masks


def finish_lists(dataset: dict, source: Source) -> None:
    """Check the lists against each other, bring `train` into `train_aug`, apply `limit`.

    A `train` list that the config names must lie within `train_aug`, because only those images
    get pseudo labels; the default list is reduced to them. Changes source.lists and
    source.problems in place.
    """
    lists, problems = source.lists, source.problems
    problems += [
        f"image {image[:40]!r}...: its id has {len(image.encode())} bytes, file names can have "
        f"{LONGEST_ID}: shorten its name or the names of its folders"
        for image in union(lists)
        if len(image) > LONGEST_ID // 4 and len(image.encode()) > LONGEST_ID
    ]
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


def _are_last(absent: list[str], names: tuple[str, ...]) -> bool:
    """Whether the other names keep their indices without these."""
    return names[-len(absent) :] == tuple(absent)


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
    elif dataset["format"] == "folder" and source.masks and not _are_last(absent, source.names):
        remedy = (
            "take it out of the list of classes, and count the values of the masks again, which "
            "follow its order"
        )
    else:
        remedy = f"write dataset.classes: [{', '.join(n for n in source.names if n in present)}]"
    return [
        f"dataset.classes: no image of train_aug shows {', '.join(absent)}: add images, or {remedy}"
    ]
