"""PASCAL VOC devkit: lists, image-level labels and masks.

JPEGImages/2007_000032.jpg
SegmentationClassAug/2007_000032.png   masks of SBD (optional), preferred where they exist
SegmentationClass/2007_000032.png      masks of VOC (optional)
ImageSets/Segmentation/{train_aug,train,val}.txt, and a list of test images where it is named
Annotations/2007_000032.xml            image-level labels, or labels.csv in their place
"""

from pathlib import Path
from xml.etree import ElementTree

from psa_core.datasets.source import (
    IGNORE,
    IMAGE_SUFFIXES,
    LISTS,
    Source,
    class_names,
    did_you_mean,
    finish_lists,
    image_id,
    read_list,
    read_rows,
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


def files(dataset: dict) -> dict[str, Path]:
    """List and label files by what they are (`train_aug`, `train`, `val`, `test`, `labels`).

    `labels` is absent where the labels come from Annotations/*.xml, `test` unless it is named.
    Raises DatasetError where dataset.root is not a folder.
    """
    root = root_of(dataset)
    found = {
        key: resolve(root, dataset.get(key), f"ImageSets/Segmentation/{key}", ".txt")
        for key in LISTS
        if key != "test" or dataset.get("test")
    }
    labels = resolve(root, dataset.get("labels"), "labels.csv")
    if dataset.get("labels") or labels.exists():
        found["labels"] = labels
    return found


def read(dataset: dict, *, with_labels: bool = True) -> Source:
    """Read lists, labels and folder listings of a devkit.

    dataset: the config section of that name.
    with_labels: False leaves Annotations/*.xml unread where they do not decide the lists.
    Images with none of the selected classes are left out of all lists but test, whose images
    have no labels.
    Raises DatasetError where dataset.root is not a folder; all else goes to Source.problems.
    """
    problems: list[str] = []
    selected = _selected_classes(dataset, problems)
    paths = files(dataset)
    root = root_of(dataset)
    lists = {key: _read_ids(key, paths[key], problems) for key in LISTS if key in paths}
    test = lists.pop("test", [])
    every: dict[str, list[str]] = {}
    annotations: dict[str, Path] = {}
    if with_labels or selected != CLASSES or "labels" in paths:
        every = _read_labels(root, paths.get("labels"), union(lists), problems)
    else:
        annotations = {i: root / f"Annotations/{i}.xml" for i in union(lists)}
    labels = {image: [c for c in selected if c in names] for image, names in every.items()}
    if selected == CLASSES:
        problems += [
            f"{paths.get('labels', root / 'Annotations')}: {image!r} has no labels: add them "
            "or take it out of the lists"
            for image, names in every.items()
            if not names
        ]
    else:
        lists = {key: [i for i in ids if labels.get(i)] for key, ids in lists.items()}
    masks = _find_masks(root, dataset.get("masks"), union(lists), problems)
    if masks is None:  # nothing to be scored on; all other stages run
        lists["train"] = []
    lists["test"] = test
    source = Source(
        names=selected,
        coding=_mask_coding(selected, dataset.get("others")),
        lists=lists,
        labels=labels,
        images=_find_images(root, dataset.get("images"), union(lists), problems),
        masks=masks or {},
        problems=problems,
        annotations=annotations,
    )
    finish_lists(dataset, source)
    return source


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


def _read_labels(
    root: Path, csv: Path | None, images: list[str], problems: list[str]
) -> dict[str, list[str]]:
    """Image id -> names of all objects in it, from a csv or from the XML annotations."""
    folder = root / "Annotations"
    if csv:
        labels = _labels_of_csv(csv, images, problems)
    elif folder.is_dir():
        labels = _labels_of_xml(folder, images, problems)
    else:
        labels = {}
        problems.append(
            f"{root}: neither Annotations/*.xml nor labels.csv: add one of the two, "
            "or set dataset.labels"
        )
    problems += [
        f"{csv or folder / f'{image}.xml'}: label {name!r} of {image!r} is not a VOC class"
        f"{did_you_mean(name, CLASSES)}: correct it"
        for image, names in labels.items()
        for name in names
        if name not in CLASSES
    ]
    return labels


def _labels_of_csv(path: Path, images: list[str], problems: list[str]) -> dict[str, list[str]]:
    rows = read_rows(path, problems)
    if rows is None:
        return {}
    found = {image_id(row.image): row.labels for row in rows}
    report_duplicates(path, [image_id(row.image) for row in rows], problems)
    problems += [
        f"{path}: no row for {image!r} of the lists: add it or take the image out of the lists"
        for image in images
        if image not in found
    ]
    return {image: found[image] for image in images if image in found}


def _labels_of_xml(folder: Path, images: list[str], problems: list[str]) -> dict[str, list[str]]:
    """Objects of each annotation, difficult ones too; parts of an object (head, hand) are none."""
    labels = {}
    for image in images:
        path = folder / f"{image}.xml"
        try:
            objects = ElementTree.fromstring(path.read_bytes()).iterfind("object")
            labels[image] = [(each.findtext("name") or "").strip() for each in objects]
        except (OSError, ElementTree.ParseError) as error:
            reason = getattr(error, "strerror", None) or error
            problems.append(f"{path}: {reason}: restore it or take the image out of the lists")
    return labels


def _find_images(
    root: Path, name: str | None, ids: list[str], problems: list[str]
) -> dict[str, Path]:
    folder = resolve(root, name, "JPEGImages")
    if not folder.is_dir():
        problems.append(f"{folder}: no such folder: add it or set dataset.images")
        return {}
    found = scan(folder, ids, IMAGE_SUFFIXES)
    problems += [
        f"{folder}: no image {i!r} of the lists: add it or take it out of the lists"
        for i in ids
        if i not in found
    ]
    return {i: found[i][0] for i in ids if i in found}


def _find_masks(
    root: Path, name: str | None, ids: list[str], problems: list[str]
) -> dict[str, Path] | None:
    """Image id -> mask; None where the data set has no folder of masks."""
    usual = ("SegmentationClass", "SegmentationClassAug")  # the latter wins
    folders = [resolve(root, name, usual[0])] if name else [root / each for each in usual]
    if name and not folders[0].is_dir():
        problems.append(f"{folders[0]}: no such folder: add it or correct dataset.masks")
    found: dict[str, Path] = {}
    for folder in folders:
        found |= {stem: paths[0] for stem, paths in scan(folder, ids, (".png",)).items()}
    if not any(folder.is_dir() for folder in folders):
        return None
    return {i: found[i] for i in ids if i in found}


def _mask_coding(names: tuple[str, ...], others: str | None) -> list[tuple[int, int, str]]:
    """VOC's mask values, each with its class index; unselected classes as `others` says."""
    unselected = IGNORE if others == "ignore" else 0
    index = {name: i for i, name in enumerate(names, start=1)}
    classes = [(v, index.get(name, unselected), name) for v, name in enumerate(CLASSES, start=1)]
    return [(0, 0, "background"), *classes, (IGNORE, IGNORE, "ignore")]
