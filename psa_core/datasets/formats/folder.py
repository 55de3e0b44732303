"""A folder of images with labels: your own data, without writing code.

    labels.csv            image,labels[,split]; or labels in another format (`labels`)
    images/cats/tom.jpg   or cats/tom.jpg below the root itself; its id is cats__tom
    masks/cats/tom.png    optional: PNG, 0 background, 1..C in class order, 255 ignore; or others
                          by dataset.mask_values, or colours by a labelmap.txt (`masks`)
    train.txt, val.txt    optional lists, one image per line
    classes.txt           optional: the classes in order, one per line (else those of the labels)

The lists say which images are for training; without lists the column `split` does (train or val),
and without that column a hash of the image's name.
"""

import hashlib
import posixpath
from collections.abc import Iterable
from pathlib import Path

from psa_core.datasets.formats.labels import FOLDERS, read_labels
from psa_core.datasets.formats.labels.names import alike, composed, in_order
from psa_core.datasets.formats.labels.rows import Labels, Row
from psa_core.datasets.formats.masks import find_masks
from psa_core.datasets.formats.source import (
    IMAGE_SUFFIXES,
    LISTS,
    MOST_CLASSES,
    RESERVED,
    Source,
    class_names,
    did_you_mean,
    image_id,
    images_folder,
    is_hostile,
    is_text,
    look_alike,
    read_list,
    report_duplicates,
    resolve,
    root_of,
    scan,
    union,
    without_suffix,
)

NOT_CLASSES = ("background", "ignore")  # first lines of other tools' lists: `__ignore__`


def _files(dataset: dict, root: Path) -> dict[str, Path]:
    """Lists and labels that exist or that the config names; `labels` is always among them.

    `train_aug` is dataset.train_aug or train.txt; `val` is dataset.val or val.txt; `train` is
    dataset.train; `classes` is classes.txt.
    """
    found = {"labels": resolve(root, dataset.get("labels"), "labels.csv")}
    if dataset.get("labels") == FOLDERS:
        found["labels"] = images_folder(dataset)
    for key, default in (("train_aug", "train"), ("val", "val")):
        path = resolve(root, dataset.get(key), default, ".txt")
        if dataset.get(key) or path.exists():
            found[key] = path
    if dataset.get("train"):
        found["train"] = resolve(root, dataset["train"], "train", ".txt")
    if (root / "classes.txt").exists():
        found["classes"] = root / "classes.txt"
    return found


def read(dataset: dict) -> Source:
    """Read labels, classes.txt, the lists and the folder listings.

    dataset: the config section of that name.
    Raises DatasetError where dataset.root is not a folder; all else goes to Source.problems.
    """
    problems: list[str] = []
    root = root_of(dataset)
    paths = _files(dataset, root)
    table = paths["labels"]
    names = _listed_classes(dataset, paths, problems)
    found = read_labels(table, dataset, names, problems) or Labels([])
    rows = _by_id(table, found.rows, problems)
    if names is None and found.names is not None:
        names = _without_background(found.names)
    elif names is None:
        names = in_order({label for row in rows.values() for label in row.labels})
    _check_labels(table, rows.values(), names, problems)
    lists = _split(dataset, rows, paths, problems)
    used = {image: rows[image] for image in union(lists) if image in rows}
    if not dataset.get("negatives"):
        problems += [
            f"{table}, {row.place}: {row.image!r} has no labels: add one, leave the image out, or "
            "set dataset.negatives: true if it shows none of the classes"
            for row in used.values()
            if not row.labels
        ]
    stems = {image: without_suffix(row.image) for image, row in used.items()}
    masks, coding = find_masks(dataset, names, stems, problems)
    if "train" not in paths:
        lists["train"] = [image for image in lists["train_aug"] if image in masks]
    index = {name: i for i, name in enumerate(names, start=1)}
    return Source(
        names=names,
        coding=coding,
        lists=lists,
        labels={
            i: sorted(index.keys() & row.labels, key=index.__getitem__) for i, row in used.items()
        },
        images=_find_images(dataset, used, stems, problems),
        masks=masks,
        problems=problems,
        doubts=list(found.doubts),
    )


def _listed_classes(
    dataset: dict, paths: dict[str, Path], problems: list[str]
) -> tuple[str, ...] | None:
    """The classes of the configuration or of classes.txt; None where neither lists them.

    Background and ignored pixels at the start of the list, which other tools write, are left out:
    that keeps the values of the masks, which count from the first class.
    """
    names = class_names(dataset, problems)
    if names is None and "classes" in paths:
        lines = read_list(paths["classes"], problems, "add it or set dataset.classes")
        report_duplicates(paths["classes"], lines, problems)
        names = tuple(map(composed, lines))
    return None if names is None else _without_background(names)


def _without_background(names: tuple[str, ...]) -> tuple[str, ...]:
    while names and alike(names[0]) in NOT_CLASSES:
        names = names[1:]
    return names


def _by_id(table: Path, rows: list[Row], problems: list[str]) -> dict[str, Row]:
    """The rows by image id; hostile names and names with the same id are reported."""
    if not rows and not problems:
        problems.append(f"{table}: it has no images: add a row for each, or export it again")
    found: dict[str, Row] = {}
    for row in rows:
        if is_hostile(row.image):
            problems.append(
                f"{table}, {row.place}: image {row.image!r} is not a path below the images "
                "folder: write it relative, with / and without .."
            )
            continue
        first = found.setdefault(image_id(row.image), row)
        if first is not row:
            problems.append(
                f"{table}, {row.place}: image {row.image!r} has the same id "
                f"{image_id(row.image)!r} as {first.image!r} in {first.place}: remove or "
                "rename one"
            )
    return found


def _check_labels(
    table: Path, rows: Iterable[Row], names: tuple[str, ...], problems: list[str]
) -> None:
    problems += [
        f"{table}: {name!r} cannot be the name of a class: the metrics have a row of that name; "
        + ("take it out of the labels" if alike(name) in NOT_CLASSES else "rename it")
        for name in names
        if alike(name) in (*RESERVED, *NOT_CLASSES)
    ]
    problems += [
        f"{table}: {name!r} cannot be the name of a class: it is empty, or has a semicolon, a "
        "line break or broken characters; rename it"
        for name in names
        if ";" in name or len(name.splitlines()) != 1 or not is_text(name)
    ]
    if len(names) > MOST_CLASSES:
        problems.append(
            f"{table}: {len(names)} classes, but 8-bit masks hold {MOST_CLASSES}: merge some"
        )
    known = set(names)
    for row in rows:
        problems += [
            f"{table}, {row.place}: label {label!r} of {row.image!r} is not a class"
            f"{did_you_mean(label, names)}: correct it or add it to the classes"
            for label in row.labels
            if label not in known
        ]


def _split(
    dataset: dict, rows: dict[str, Row], paths: dict[str, Path], problems: list[str]
) -> dict[str, list[str]]:
    """The four lists; train stays empty unless the config names a list, test always.

    With only a list for val, all other images are for training. With only a list for training,
    val is empty.
    """
    lists: dict[str, list[str]] = {key: [] for key in LISTS}
    for key in lists.keys() & paths.keys():
        lists[key] = _read_ids(key, paths[key], paths["labels"], rows, problems)
    if "train_aug" in paths:
        return lists
    if "val" in paths:
        in_val = set(lists["val"])
    elif any(row.split for row in rows.values()):
        in_val = {image for image, row in rows.items() if row.split == "val"}
        problems += [
            f"{paths['labels']}, {row.place}: split {row.split!r} of {row.image!r}: "
            "write train or val"
            for row in rows.values()
            if row.split not in ("train", "val")
        ]
    else:
        fraction, seed = dataset.get("val_fraction", 0.2), dataset.get("seed", 0)
        in_val = {image for image in rows if _uniform(image, seed) < fraction}
    lists["train_aug"] = [image for image in rows if image not in in_val]
    if rows and not lists["train_aug"]:
        place = paths["val"] if "val" in paths else f"the split of {paths['labels']}"
        problems.append(
            f"{place}: all {len(rows)} images are for val: leave some for training (without "
            "lists and column split, dataset.val_fraction decides)"
        )
    if "val" not in paths:
        lists["val"] = [image for image in rows if image in in_val]
    return lists


def _read_ids(
    key: str, path: Path, table: Path, rows: dict[str, Row], problems: list[str]
) -> list[str]:
    ids = [image_id(line) for line in read_list(path, problems, f"add it or set dataset.{key}")]
    problems += [
        f"{path}: {image!r} has no row in {table}: add one or take it out of the list"
        for image in ids
        if image not in rows
    ]
    report_duplicates(path, ids, problems)
    return ids


def _uniform(image: str, seed: int) -> float:
    """A number in [0, 1) that depends only on name and seed, so new images do not move others."""
    digest = hashlib.sha256(f"{seed}:{image}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _find_images(
    dataset: dict, rows: dict[str, Row], stems: dict[str, str], problems: list[str]
) -> dict[str, str]:
    named = resolve(root_of(dataset), dataset.get("images"), "images")
    if dataset.get("images") and not named.is_dir():
        problems.append(f"{named}: no such folder: correct dataset.images")
        return {}
    folder = images_folder(dataset)
    found = scan(folder, stems.values(), IMAGE_SUFFIXES)
    images = {}
    for image, stem in stems.items():
        candidates = found.get(stem, [])
        suffix = posixpath.normpath(rows[image].image)[len(stem) :]
        exact = [path for path in candidates if path.endswith(suffix)]  # any, if it has no suffix
        if len(exact) == 1:
            images[image] = exact[0]
            continue
        names = ", ".join(map(posixpath.basename, candidates))
        there = f" (there: {names})" if candidates else look_alike(folder, rows[image].image)
        problems.append(
            f"{folder}: {len(exact)} images for {rows[image].image!r} of {rows[image].place}"
            f"{there}: correct its name in the table or add the file"
        )
    return images
