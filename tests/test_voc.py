"""VOC's format: lists, labels, masks; each error names file, value and remedy."""

import os

import numpy as np
import pytest
from datasets_on_disk import (
    VOC_LABELS,
    annotation,
    check_problem,
    inventory,
    write_image,
    write_labels,
    write_lists,
    write_mask,
    write_text,
    write_voc,
)

from psa_core.datasets import formats
from psa_core.datasets.formats.source import DatasetError
from psa_core.datasets.formats.voc import CLASSES, read_annotations


@pytest.fixture
def root(tmp_path):
    return tmp_path / "VOC2012"


@pytest.fixture
def voc(root):
    return write_voc(root)


def lists_of(dataset):
    source = formats.read(dataset)
    assert source.problems == []
    return source.lists


def test_a_subset_of_classes_leaves_out_images_without_them(voc):
    images = {"train_aug": ["a", "b"], "train": ["a"], "val": ["d"], "test": []}
    assert lists_of(voc) == images


def test_files_and_labels_of_a_subset(voc, root):
    source = formats.read(voc)
    assert source.names == ("dog", "cat")
    assert source.images == {i: f"{root}/JPEGImages/{i}.jpg" for i in "abd"}
    assert source.masks == {i: f"{root}/SegmentationClass/{i}.png" for i in "ad"}
    assert {i: source.labels[i] for i in "abd"} == {"a": ["cat"], "b": ["dog"], "d": ["cat"]}


def test_annotations_of_all_classes_are_not_read(voc, root):
    for image in VOC_LABELS:
        write_text(root / f"Annotations/{image}.xml", "no XML")
    source = formats.read({**voc, "classes": None})
    images = {"train_aug": ["a", "b", "c"], "train": ["a", "c"], "val": ["d", "e"], "test": []}
    assert (source.lists, source.problems, source.labels) == (images, [], {})
    assert source.annotations == {i: f"{root}/Annotations/{i}.xml" for i in VOC_LABELS}


def test_annotations_are_in_class_order(voc, root):
    problems = []
    paths = {i: f"{root}/Annotations/{i}.xml" for i in VOC_LABELS}
    expected = {**VOC_LABELS, "a": ["cat", "person"]}
    assert (read_annotations(paths, problems), problems) == (expected, [])


@pytest.mark.parametrize("separator", [" ", ";"])
@pytest.mark.parametrize("suffix", ["", ".jpg"])
def test_labels_csv_equals_annotations(voc, root, separator, suffix):
    from_xml = formats.read(voc)
    rows = [f"{i}{suffix},{separator.join(names)}" for i, names in VOC_LABELS.items()]
    write_labels(root, *rows, header="image,labels")
    for image in VOC_LABELS:
        os.remove(root / f"Annotations/{image}.xml")
    assert formats.read(voc) == from_xml


@pytest.mark.parametrize(("others", "unselected"), [("background", 0), ("ignore", 255)])
def test_mask_values_of_selected_and_other_classes(voc, others, unselected):
    coding = formats.read({**voc, "others": others}).coding
    assert [value for value, _, _ in coding] == [*range(21), 255]
    expected = {0: 0, 12: 1, 8: 2, 255: 255}  # background, dog, cat, ignore
    assert {v: i for v, i, _ in coding} == {v: expected.get(v, unselected) for v, _, _ in coding}


def test_classes_are_twenty_in_the_order_of_voc(voc):
    assert [CLASSES.index(name) + 1 for name in ("aeroplane", "cat", "tvmonitor")] == [1, 8, 20]
    source = formats.read({**voc, "classes": None})
    assert source.names == CLASSES
    assert [name for *_, name in source.coding] == ["background", *CLASSES, "ignore"]
    assert all(value == index for value, index, _ in source.coding)


def test_masks_of_sbd_are_preferred(voc, root):
    write_mask(root / "SegmentationClassAug/b.png", [12])
    write_mask(root / "SegmentationClassAug/a.png", [8])
    folders = {image: path.split("/")[-2] for image, path in formats.read(voc).masks.items()}
    sbd = "SegmentationClassAug"
    assert folders == {"a": sbd, "b": sbd, "d": "SegmentationClass"}


@pytest.mark.parametrize("name", ["deeplab", "deeplab.txt"])
@pytest.mark.parametrize("line", ["/JPEGImages/{0}.jpg /SegmentationClassAug/{0}.png", "{0} -1"])
def test_lists_of_deeplab_and_paths(voc, root, tmp_path, name, line):
    lines = "".join(f"{line}\n".format(i) for i in "ba")
    write_text(root / "ImageSets/Segmentation/deeplab.txt", lines)
    write_text(tmp_path / "elsewhere.txt", "d\n")
    chosen = {**voc, "train_aug": name, "val": str(tmp_path / "elsewhere.txt")}
    images = {"train_aug": ["b", "a"], "train": ["a"], "val": ["d"], "test": []}
    assert lists_of(chosen) == images


def test_the_default_train_list_is_reduced_to_train_aug(voc, root):
    write_lists(root, few="b c")
    lists = lists_of({**voc, "classes": None, "train_aug": "few"})
    assert lists == {"train_aug": ["b", "c"], "train": ["c"], "val": ["d", "e"], "test": []}


def test_without_masks_nothing_is_scored(voc, root):
    (root / "SegmentationClass").rename(root / "away")
    data = inventory(voc)
    assert data.images == {"train_aug": ["a", "b"], "train": [], "val": ["d"], "test": []}
    assert data.scored == {"train_aug": [], "train": [], "val": []}


def test_an_empty_val_list_is_allowed(voc, root):
    write_lists(root, val="")
    data = inventory(voc)
    assert (data.images["val"], data.scored["val"], data.shards("val")) == ([], [], [])


def test_test_images_need_neither_labels_nor_masks(voc, root):
    for image in ("t", "s"):
        write_image(root / f"JPEGImages/{image}.jpg")
    write_text(root / "Annotations/s.xml", "no XML")  # not read
    write_mask(root / "SegmentationClass/s.png", [77])  # not used
    write_lists(root, test="t s d")  # d is in val, too
    for classes in (voc["classes"], None):
        source = formats.read({**voc, "test": "test", "classes": classes, "limit": 9})
        assert source.problems == []
        assert source.lists["test"] == ["d", "s", "t"]
        assert {"s", "t"} <= source.images.keys()
        assert not {"s", "t"} & {*source.masks, *source.labels, *source.annotations}
    assert lists_of({**voc, "test": "test", "limit": 2})["test"] == ["d", "s"]  # by name


def test_limit_takes_the_first_images_of_each_list(voc):
    lists = lists_of({**voc, "classes": None, "limit": 1})
    assert lists == {"train_aug": ["a"], "train": ["a"], "val": ["d"], "test": []}


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"root": "nowhere"}, ["dataset.root: 'nowhere' is not a folder", "set it to"]),
        ({"format": "coco"}, ["dataset.format: 'coco' is unknown", "use one of voc, folder"]),
        ({"classes": ["cat", "dgo"]}, ["'dgo' is not a VOC class", "did you mean 'dog'?"]),
        ({"classes": ["cat", "cat"]}, ["'cat' is listed twice", "remove one"]),
        ({"classes": [False, "cat"]}, ["dataset.classes: False", "put it in quotes"]),
        ({"classes": []}, ["dataset.classes: empty list", "at least one class"]),
        ({"classes": ["cat", "cow"]}, ["no image of train_aug shows cow", "[cat]"]),
        ({"classes": ["sofa"]}, ["dataset.train_aug: no image to train on", "check the list"]),
        ({"train_aug": "trian"}, ["Segmentation/trian.txt: No such file", "set dataset.train_aug"]),
        ({"val": "nope.txt"}, ["nope.txt: No such file", "set dataset.val"]),
        ({"val": "train"}, ["dataset.val: 'a' is in train_aug as well", "take it out"]),
        ({"test": "train"}, ["dataset.test: 'a' is in train_aug as well", "take it out"]),
        ({"test": "tset"}, ["tset.txt: No such file", "set dataset.test"]),
        ({"train": "val"}, ["dataset.train: 'd' is not in train_aug", "take it out"]),
        ({"train": "train_aug"}, ["dataset.train: 'b' has no mask", "add one or take it out"]),
        ({"masks": "Masks"}, ["Masks: no such folder", "correct dataset.masks"]),
        ({"images": "Pics"}, ["Pics: no such folder", "set dataset.images"]),
        ({"labels": "tags.csv"}, ["tags.csv: No such file", "set dataset.labels"]),
    ],
)
def test_errors_of_the_configuration(voc, change, parts):
    check_problem({**voc, **change}, *parts)


def test_a_missing_train_aug_names_the_remedy(voc, root):
    os.remove(root / "ImageSets/Segmentation/train_aug.txt")
    check_problem(voc, "train_aug.txt: No such file", "`dataset.train_aug: train`")
    lists = lists_of({**voc, "train_aug": "train"})
    assert lists == {"train_aug": ["a"], "train": ["a"], "val": ["d"], "test": []}


def remove_annotation(root):
    (root / "Annotations/b.xml").unlink()


def remove_annotations(root):
    (root / "Annotations").rename(root / "Annotated")


def remove_image(root):
    (root / "JPEGImages/b.jpg").unlink()


def list_twice(root):
    write_lists(root, train_aug="a b c b")


def forget_row(root):
    write_labels(root, *(f"{i},bus" for i in "acde"), header="image,labels")


@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (remove_annotation, ["Annotations/b.xml: No such file", "restore it"]),
        (remove_annotations, ["neither Annotations/*.xml nor labels.csv", "add one"]),
        (remove_image, ["JPEGImages: no image 'b'", "take it out of the lists"]),
        (list_twice, ["train_aug.txt: 'b' is listed twice", "remove one"]),
        (forget_row, ["labels.csv: no row for 'b'", "add it"]),
    ],
)
def test_damage_that_the_plan_finds(voc, root, damage, parts):
    whole = {**voc, "classes": None, "limit": 9}  # limit: not all of the 20 classes are there
    inventory(whole)
    damage(root)
    assert check_problem(whole, *parts).startswith("1 problem(s)")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"<annotation><object>", ["b.xml: no element found", "restore it"]),
        (annotation("dgo").encode(), ["b.xml: label 'dgo' of 'b'", "did you mean 'dog'?"]),
        (annotation().encode(), ["b.xml: no object", "add one"]),
        (b"<?xml version='1.0' encoding='x-none'?><annotation/>", ["b.xml: ", "restore it"]),
        (np.random.default_rng(0).bytes(99), ["b.xml: ", "restore it"]),
    ],
)
def test_annotations_that_cannot_be_used(voc, root, content, parts):
    (root / "Annotations/b.xml").write_bytes(content)
    message = check_problem(voc, *parts)
    assert message.startswith("2 problem(s)")
    assert "no image of train_aug shows dog" in message  # only b did


def test_all_problems_are_reported_together(voc, root):
    remove_image(root)
    write_lists(root, val="d e lost")
    write_labels(root, "a,cat", "b,cat", "c,bus", "d,cta", "e,bus", header="image,labels")
    parts = ["no image 'b'", "no row for 'lost'", "label 'cta' of 'd'", "shows dog"]
    assert check_problem(voc, *parts).startswith("4 problem(s)")


def test_only_ten_problems_are_shown(voc, root):
    write_lists(root, val=" ".join(f"lost{i:02}" for i in range(13)))
    labels = [f"lost{i:02},bus" for i in range(13)] + [f"{i},bus" for i in "abc"]
    write_labels(root, *labels, header="image,labels")
    message = check_problem({**voc, "classes": ["bus"]}, "13 problem(s)", "'lost09'", "and 3 more")
    assert "'lost10'" not in message


def test_a_missing_root_is_reported_by_the_format(voc):
    with pytest.raises(DatasetError, match=r"dataset\.root: None is not a folder"):
        formats.read({**voc, "root": None})
