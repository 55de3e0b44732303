"""Counts of a data set, and masks that cannot be those of the labels."""

import numpy as np
import pytest

from psa_core.datasets.formats.source import DatasetError
from psa_core.datasets.index import ImageRow
from psa_core.datasets.summary import summarise, values_of

NAMES = ("cat", "dog")


def row(image, *classes, size=(40, 50)):
    names = tuple(NAMES[i - 1] for i in classes)
    return ImageRow(image, f"{image}.png", image, names, classes, *size)


@pytest.fixture
def images():
    return {
        "train_aug": [row("a", 1), row("b", 2), row("c", 1, 2), row("d", 1, size=(90, 50))],
        "val": [row("v", 2)],
    }


def test_values():
    assert values_of(np.array([[0, 255], [2, 2]], np.uint8)) == "0;2;255"


def test_counts(images):
    table, _ = summarise(images, {"a": [0, 1], "v": [0, 2]}, NAMES)
    found = {(part, what): number for part, what, number in table.itertuples(index=False)}
    assert found == {
        ("train_aug", "images"): 4,
        ("train_aug", "with mask"): 1,
        ("train_aug", "without class"): 0,
        ("train_aug", "class cat"): 3,
        ("train_aug", "class dog"): 2,
        ("train_aug", "least longest side"): 50,
        ("train_aug", "median longest side"): 50,
        ("train_aug", "greatest longest side"): 90,
        ("val", "images"): 1,
        ("val", "with mask"): 1,
        ("val", "without class"): 0,
        ("val", "class cat"): 0,
        ("val", "class dog"): 1,
        ("val", "least longest side"): 50,
        ("val", "median longest side"): 50,
        ("val", "greatest longest side"): 50,
    }


def test_masks_that_agree_are_not_mentioned(images):
    masks = {"a": [0, 1, 255], "b": [0], "c": [1], "v": [0, 2]}
    _, facts = summarise(images, masks, NAMES)
    assert facts == ["fewer than 10 training images show cat (3), dog (2)"]


@pytest.mark.parametrize(
    ("rare", "is_asked"),
    [
        *(("horses", True), ("hors", True), ("hrose", True), ("house", True), ("horse_2", False)),
        *(("hoarsen", False), ("Grade B", False), ("class_2", False), ("polar bear", False)),
    ],
)
def test_a_rare_class_may_be_a_misspelling(images, rare, is_asked):
    names = ["horse", "Grade A", "class_1", rare]
    rows = [
        images["train_aug"][0]._replace(
            image=f"{name}{number}", labels=(name,), sha256=f"{name}{number}"
        )
        for name, count in zip(names, (10, 10, 10, 2), strict=True)
        for number in range(count)
    ]
    _, facts = summarise({"train_aug": rows}, {}, names)
    question = "; is it horse?" if is_asked else ""
    assert facts == [f"fewer than 10 training images show {rare} (2{question})"]


def test_a_mask_with_a_class_that_is_no_label(images):
    masks = {"a": [0, 1, 2], "b": [0, 2], "v": [0, 2]}
    _, facts = summarise(images, masks, NAMES)
    assert facts[0] == (
        "in 1 of 3 masks, the first that of a, a class is not among the image's labels (dog; its "
        "labels: cat)"
    )


def test_masks_in_another_order_of_classes_stop_the_run(images):
    masks = {"a": [0, 2], "b": [0, 1], "c": [0, 1, 2], "v": [0, 1]}
    with pytest.raises(DatasetError, match=r"in 3 of 4 masks, .* hold the indices 1 cat, 2 dog; b"):
        summarise(images, masks, NAMES)
    del masks["b"]  # two of three
    with pytest.raises(DatasetError, match="in 2 of 3 masks, the first that of a"):
        summarise(images, masks, NAMES)
    masks["b"] = [0]  # two of four are not most of them
    summarise(images, masks, NAMES)


def test_masks_of_0_and_255(images):
    masks = {"a": [0, 255], "b": [0, 255], "v": [255]}
    remedy = r"1 to 2, or set dataset\.mask_values: \{255: cat\}"
    with pytest.raises(DatasetError, match=f"none of 3 masks shows .* 3 hold 255.*{remedy}"):
        summarise(images, masks, NAMES)
    masks["b"] = [0, 2]
    _, facts = summarise(images, masks, NAMES)
    assert facts[0].startswith("in 2 of 3 masks, the first that of a, no value but 0 and 255")
    summarise(images, {"a": [0]}, NAMES)  # an empty mask alone says nothing


def test_one_class_without_negatives_and_copies():
    rows = [row(str(i), 1)._replace(sha256=str(i // 2)) for i in range(12)]
    _, facts = summarise({"train_aug": rows, "val": []}, {}, NAMES[:1])
    assert facts[0].startswith("every training image shows cat")
    assert facts[1] == "6 images are copies of others, the first is 1 of 0"
    rows.append(row("n"))
    _, facts = summarise({"train_aug": rows, "val": []}, {}, NAMES[:1])
    assert len(facts) == 1


def test_doubts_about_the_labels_follow_the_masks(images):
    masks = {"a": [0, 1, 2], "b": [0, 2], "v": [0, 2]}
    _, facts = summarise(images, masks, NAMES, ["'polar bear': one class or two?"])
    assert facts[0].startswith("in 1 of 3 masks")
    assert facts[1] == "'polar bear': one class or two?"
