"""What is checked once a data set has been read, whatever its format: lists and classes.

Standard library only: the Snakefile reads the data set at each start.
"""

from psa_core.datasets.formats.masks import plain_coding
from psa_core.datasets.formats.source import LONGEST_ID, Source, union


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
        listed = f" in {dataset['train_aug']}" if dataset.get("train_aug") else ""
        problems.append(
            f"dataset.train_aug: no image to train on{listed}: check the list and dataset.classes"
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
    elif dataset["format"] == "folder" and _masks_follow_order(source, absent):
        remedy = (
            "take it out of the classes (dataset.classes, classes.txt, or the columns or "
            "categories of the labels), and count the values of the masks again, which follow "
            "their order"
        )
    else:
        remedy = f"write dataset.classes: [{', '.join(n for n in source.names if n in present)}]"
    return [
        f"dataset.classes: no image of train_aug shows {', '.join(absent)}: add images, or {remedy}"
    ]


def _masks_follow_order(source: Source, absent: list[str]) -> bool:
    """Whether values of masks would mean another class without these."""
    are_last = source.names[-len(absent) :] == tuple(absent)
    are_indices = source.coding == plain_coding(source.names)
    return bool(source.masks) and are_indices and not are_last
