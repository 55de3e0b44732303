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
    [
        *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg"),
        *(".png", ".tif", ".tiff", ".webp"),
    ]
)
OF_COPIES = (".avif", ".heic", ".heif")  # of images that phones and websites keep twice
MASK_SUFFIXES = (".png", ".tif", ".tiff", ".webp")
LONGEST_ID = 240  # bytes; file systems allow 255, and temporary names are longer by 14
PROBLEMS_SHOWN = 10
# (value or colour, class index, name) for all that a mask may hold; a colour is red, green, blue.
Coding = list[tuple[int | tuple[int, int, int], int, str]]
UNSAFE = re.compile(r"[^\w.+-]")  # characters that could break file names or targets


class DatasetError(UserError):
    """The user's data set is not usable; the message names file, value and remedy."""


@dataclass(frozen=True)
class Source:
    """A data set as its lists, label files and folders describe it; no image has been opened.

    names: the classes, without background, in class order (indices 1..C).
    coding: what the values of masks mean, or else their colours.
    lists: image ids of train_aug, train, val and test, in list order.
    labels: image id -> class names in class order; images that are only in test need none.
    images, masks: image id -> path of the file; an image without a mask has no entry in masks.
        Every listed image has an entry in images unless `problems` says which one is missing.
    annotations: image id -> path of its label file, where that has not been read.
    problems: what is wrong so far, one message each.
    doubts: what may have been meant otherwise, one message each.
    decisions, corrections: image id -> decision of the user, path of the corrected mask; also of
        images that are excluded or beyond `limit`. Formats leave them to `read_review`.
    correction_coding: `coding` of the corrected masks.
    """

    names: tuple[str, ...]
    coding: Coding
    lists: dict[str, list[str]]
    labels: dict[str, list[str]]
    images: dict[str, str]
    masks: dict[str, str]
    problems: list[str]
    doubts: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    decisions: dict[str, str] = field(default_factory=dict)
    corrections: dict[str, str] = field(default_factory=dict)
    correction_coding: Coding = field(default_factory=list)


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
    return (
        not is_text(name)
        or name.startswith("/")
        or ".." in parts
        or "\\" in name
        or {*parts} <= {"", "."}
    )


def is_text(name: str) -> bool:
    """Whether a name can be written: JSON may hold halves of characters, and zeros."""
    is_whole = name.isascii() or name.encode(errors="replace").decode() == name
    return is_whole and "\0" not in name


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


def images_folder(dataset: dict) -> Path:
    """The folder of images of a data set of the format `folder`: images/, or else its root."""
    root = root_of(dataset)
    folder = resolve(root, dataset.get("images"), "images")
    return folder if folder.is_dir() else root


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
        for name in sorted(os.listdir(here)) if os.path.isdir(here) else ():
            stem, dot, suffix = name.rpartition(".")
            if dot + suffix.lower() in suffixes:
                found.setdefault(below + stem, []).append(f"{here}/{name}")
    return {stem: without_copies(paths) for stem, paths in found.items()}


def without_copies(paths: Iterable[str]) -> list[str]:
    """Paths of images without those HEIC and AVIF files beside which another image has the name."""
    parts = [(path, *posixpath.splitext(path)) for path in paths]
    others = {stem for _, stem, suffix in parts if suffix.lower() not in OF_COPIES}
    return [p for p, stem, suffix in parts if stem not in others or suffix.lower() not in OF_COPIES]


def look_alike(folder: Path, name: str) -> str:
    """` (there: 'x.heic')`: a file whose name resembles that of a missing image, else nothing."""
    parent, _, last = name.rpartition("/")
    if os.path.isfile(folder / last):  # is_file() fails for names that are too long
        return f" (there: {last!r}, without {parent + '/'!r})"
    here = folder / parent
    stem = _folded(without_suffix(last))
    for other in sorted(os.listdir(here)) if os.path.isdir(here) else ():
        if _folded(other.rpartition(".")[0]) == stem or _folded(other) == _folded(last):
            same = unicodedata.normalize("NFC", other) == unicodedata.normalize("NFC", last)
            return f" (there: {other!r}{', which differs in its Unicode form' if same else ''})"
    return ""


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def choose_masks(folder: Path, found: dict[str, list[str]], problems: list[str]) -> dict[str, str]:
    """Path of the mask of each image; images that have only another type of file are a problem.

    found: by image id, files in the folder of the image's name. Of several the first of
    MASK_SUFFIXES counts.
    """
    masks = {}
    others = []
    for image, paths in found.items():
        by_suffix = {posixpath.splitext(path)[1].lower(): path for path in reversed(paths)}
        if suffix := next((each for each in MASK_SUFFIXES if each in by_suffix), None):
            masks[image] = by_suffix[suffix]
        else:
            others.append(paths[0])
    if others:
        problems.append(
            f"{folder}: {len(others)} of {len(found)} masks are not PNG, TIFF or WebP, the first "
            f"is {posixpath.basename(others[0])}: save them as PNG with 8 bits (a .jpg has changed "
            "the values: draw or export it again), or move them away"
        )
    return masks
