"""PASCAL VOC devkit: lists, image-level labels and masks.

JPEGImages/2007_000032.jpg
SegmentationClassAug/2007_000032.png   masks of SBD (optional), preferred where they exist
SegmentationClass/2007_000032.png      masks of VOC (optional)
ImageSets/Segmentation/{train_aug,train,val}.txt, and a list of test images if dataset.test names it
Annotations/2007_000032.xml            image-level labels; labels.csv replaces them if it exists
"""

from collections.abc import Iterable
from pathlib import Path

from psa_core.datasets.formats.labels import table, voc_xml
from psa_core.datasets.formats.source import (
    IGNORE,
    IMAGE_SUFFIXES,
    LISTS,
    Coding,
    Source,
    choose_masks,
    class_names,
    did_you_mean,
    image_id,
    look_alike,
    read_list,
    report_duplicates,
    resolve,
    root_of,
    scan,
    union,
)

CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


def _files(dataset: dict, root: Path) -> dict[str, Path]:
    """List and label files (`train_aug`, `train`, `val`, `test`, `labels`).

    `labels` is absent where the labels come from Annotations/*.xml, `test` where it is not set.
    """
    found = {
        key: resolve(root, dataset.get(key), f"ImageSets/Segmentation/{key}", ".txt")
        for key in LISTS
        if key != "test" or dataset.get("test")
    }
    labels = resolve(root, dataset.get("labels"), "labels.csv")
    if dataset.get("labels") or labels.exists():
        found["labels"] = labels
    return found


def read(dataset: dict) -> Source:
    """Read lists, labels and folder listings of a devkit.

    dataset: the config section of that name.
    With all 20 classes, Annotations/*.xml are left to `read_annotations`, as reading them takes
    seconds. With fewer classes they are read, to leave images without a selected class out of all
    lists but test, whose images need no labels. With dataset.negatives such images stay.
    Raises DatasetError where dataset.root is not a folder; all else goes to Source.problems.
    """
    problems: list[str] = []
    root = root_of(dataset)
    paths = _files(dataset, root)
    selected = _selected_classes(dataset, problems)
    lists = {key: _read_ids(key, paths[key], problems) for key in LISTS if key in paths}
    test = lists.pop("test", [])
    every: dict[str, list[str]] = {}
    annotations: dict[str, str] = {}
    folder = root / "Annotations"
    if "labels" in paths:
        every = _labels_of_csv(paths["labels"], dataset, union(lists), problems)
    elif not folder.is_dir():
        problems.append(
            f"{root}: neither Annotations/*.xml nor labels.csv: add one of the two, "
            "or set dataset.labels"
        )
    elif selected == CLASSES:
        annotations = _find_annotations(folder, union(lists), problems)
    else:
        every = read_annotations(_find_annotations(folder, union(lists), problems), problems)
    labels = {image: [c for c in selected if c in names] for image, names in every.items()}
    if selected != CLASSES and not dataset.get("negatives"):
        lists = {key: [i for i in ids if labels.get(i)] for key, ids in lists.items()}
    elif not dataset.get("negatives"):
        problems += [
            f"{paths['labels']}: {image!r} has no labels: add them or take it out of the lists"
            for image, names in every.items()
            if not names
        ]
    masks = _find_masks(root, dataset.get("masks"), union(lists), problems)
    if masks is None:  # nothing to be scored on; all other stages run
        lists["train"] = []
    lists["test"] = test
    return Source(
        names=selected,
        coding=_mask_coding(selected, dataset.get("others")),
        lists=lists,
        labels=labels,
        images=_find_images(root, dataset.get("images"), union(lists), problems),
        masks=masks or {},
        problems=problems,
        annotations=annotations,
    )


def _selected_classes(dataset: dict, problems: list[str]) -> tuple[str, ...]:
    names = class_names(dataset, problems)
    problems += [
        f"dataset.classes: {name!r} is not a VOC class{did_you_mean(name, CLASSES)}: "
        "correct it, or use dataset.format: folder for classes of your own"
        for name in names or ()
        if name not in CLASSES
    ]
    return CLASSES if names is None else names


def _read_ids(key: str, path: Path, problems: list[str]) -> list[str]:
    """Image ids of a list: bare ids, or DeepLab's `/JPEGImages/x.jpg /SegmentationClassAug/x.png`.

    The second field of a line, also of VOC's lists of one class (`x -1`), is not needed.
    """
    remedy = f"add it or set dataset.{key} to the name of another list"
    if key == "train_aug":
        remedy += " (`dataset.train_aug: train` for VOC without SBD)"
    fields = [line.split()[0] for line in read_list(path, problems, remedy)]
    ids = [image_id(field.rsplit("/", 1)[-1]) for field in fields]
    report_duplicates(path, ids, problems)
    return ids


def _find_annotations(folder: Path, ids: list[str], problems: list[str]) -> dict[str, str]:
    found = scan(folder, ids, (".xml",))
    problems += [
        f"{folder}/{i}.xml: No such file: restore it or take the image out of the lists"
        for i in ids
        if i not in found
    ]
    return {i: found[i][0] for i in ids if i in found}


def read_annotations(paths: dict[str, str], problems: list[str]) -> dict[str, list[str]]:
    """Labels of images, in class order, from the XML files of their annotations.

    paths: by image id. Objects marked as difficult count; parts of an object (head, hand) do not.
    Adds to problems what is wrong with a file; an image whose file is no XML gets no entry.
    """
    labels = {}
    for image, path in paths.items():
        names = voc_xml.read_objects(path, problems)
        if names is None:
            continue
        if not names:
            problems.append(f"{path}: no object: add one or take {image!r} out of the lists")
        problems += _unknown_labels(path, image, sorted(names))
        labels[image] = [name for name in CLASSES if name in names]
    return labels


def _unknown_labels(path: str | Path, image: str, names: Iterable[str]) -> list[str]:
    return [
        f"{path}: label {name!r} of {image!r} is not a VOC class{did_you_mean(name, CLASSES)}: "
        "correct it (for classes of your own, use dataset.format: folder)"
        for name in names
        if name not in CLASSES
    ]


def _labels_of_csv(
    path: Path, dataset: dict, images: list[str], problems: list[str]
) -> dict[str, list[str]]:
    remedy = "create it (image,labels) or set dataset.labels"
    read = table.read(path, dataset, CLASSES, problems, remedy)
    if read is None:
        return {}
    found = {image_id(row.image): row.labels for row in read.rows}
    report_duplicates(path, [image_id(row.image) for row in read.rows], problems)
    problems += [
        f"{path}: no row for {image!r} of the lists: add it or take the image out of the lists"
        for image in images
        if image not in found
    ]
    labels = {image: found[image] for image in images if image in found}
    for image, names in labels.items():
        problems += _unknown_labels(path, image, names)
    return labels


def _find_images(
    root: Path, name: str | None, ids: list[str], problems: list[str]
) -> dict[str, str]:
    folder = resolve(root, name, "JPEGImages")
    if not folder.is_dir():
        problems.append(f"{folder}: no such folder: add it or set dataset.images")
        return {}
    found = scan(folder, ids, IMAGE_SUFFIXES)
    problems += [
        f"{folder}: no image {i!r} of the lists{look_alike(folder, i)}: add it or take it out of "
        "the lists"
        for i in ids
        if i not in found
    ]
    return {i: found[i][0] for i in ids if i in found}


def _find_masks(
    root: Path, name: str | None, ids: list[str], problems: list[str]
) -> dict[str, str] | None:
    """Path of the mask by image id; None where the data set has no folder of masks."""
    usual = ("SegmentationClass", "SegmentationClassAug")  # the latter wins
    folders = [resolve(root, name, usual[0])] if name else [root / each for each in usual]
    if name and not folders[0].is_dir():
        problems.append(f"{folders[0]}: no such folder: add it or correct dataset.masks")
    found: dict[str, str] = {}
    for folder in folders:
        found |= choose_masks(folder, scan(folder, ids, IMAGE_SUFFIXES), problems)
    if not any(folder.is_dir() for folder in folders):
        return None
    return {i: found[i] for i in ids if i in found}


def _mask_coding(names: tuple[str, ...], others: str | None) -> Coding:
    """`Source.coding`: unselected classes become background, or are ignored if others says so."""
    unselected = IGNORE if others == "ignore" else 0
    index = {name: i for i, name in enumerate(names, start=1)}
    classes = [(v, index.get(name, unselected), name) for v, name in enumerate(CLASSES, start=1)]
    return [(0, 0, "background"), *classes, (IGNORE, IGNORE, "ignore")]
