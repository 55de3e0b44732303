"""A folder of images per class, `dataset.labels: folders`."""

import pytest
from datasets_on_disk import (
    check_problem,
    inventory,
    write_image,
    write_labels,
    write_mask,
    write_text,
)

from psa_core.datasets import formats


@pytest.fixture
def root(tmp_path):
    return tmp_path / "mine"


@pytest.fixture
def write(root):
    """Write images of these names; returns the section `dataset`."""

    def dataset(*names, **change):
        for name in names:
            write_image(root / name)
        own = {"format": "folder", "root": str(root), "labels": "folders", "shards": 2}
        return {**own, "val_fraction": 0.0, **change}

    return dataset


def test_the_folder_is_the_label(write, root):
    dataset = write("images/polar bear/1.jpg", "images/cat/1.jpg", "images/cat/2.png")
    source = formats.read(dataset)
    assert source.names == ("cat", "polar bear")
    bear = "polar_bear__1"
    assert source.labels == {"cat__1": ["cat"], "cat__2": ["cat"], bear: ["polar bear"]}
    assert source.images[bear] == f"{root}/images/polar bear/1.jpg"


def test_only_images_that_are_not_hidden_count(write, root):
    dataset = write("images/cat/1.jpg", "images/cat/._1.jpg", "images/dog/2.jpg")
    write_text(root / "images/cat/notes.txt", "")
    assert list(formats.read(dataset).labels) == ["cat__1", "dog__2"]


def test_the_same_labels_in_a_csv_give_the_same(write, root):
    dataset = write("images/cat/1.jpg", "images/dog/2.jpg", "images/dog/3.jpg", val_fraction=0.4)
    write_mask(root / "masks/dog/2.png", [0, 2])
    expected = inventory(dataset)
    write_labels(root, "cat/1,cat", "dog/2,dog", "dog/3,dog", header="image,labels")
    found = inventory({**dataset, "labels": None})
    shards = found.shards("train_aug", "val")
    assert shards == expected.shards("train_aug", "val")
    for kind in ("images", "masks"):
        assert [found.digest(s, kind) for s in shards] == [expected.digest(s, kind) for s in shards]


def test_folders_train_and_val_are_splits(write):
    source = formats.read(write("images/train/cat/1.jpg", "images/val/cat/2.jpg"))
    assert source.lists["train_aug"] == ["train__cat__1"]
    assert source.lists["val"] == ["val__cat__2"]
    assert source.names == ("cat",)


def test_classes_straight_below_the_root(write, root):
    dataset = write("cat/1.jpg", "dog/2.jpg", ".thumbnails/3.jpg", "corrections/cat__1.png")
    write_mask(root / "masks/cat/1.png", [1])
    source = formats.read(dataset)
    assert source.labels == {"cat__1": ["cat"], "dog__2": ["dog"]}
    assert source.masks == {"cat__1": f"{root}/masks/cat/1.png"}


def test_masks_beside_the_classes_under_another_name(write, root):
    dataset = write("cat/1.jpg", "dog/2.jpg", masks=f"{root}/../mine/truth")
    write_mask(root / "truth/cat/1.png", [1])
    assert list(formats.read(dataset).labels) == ["cat__1", "dog__2"]


def test_images_in_no_folder_are_negatives(write):
    dataset = write("images/cat/1.jpg", "images/2.jpg")
    check_problem(dataset, "images, folder .: '2.jpg' has no labels", "dataset.negatives: true")
    assert formats.read({**dataset, "negatives": True}).labels == {"cat__1": ["cat"], "2": []}


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["cat/old/1.jpg"], ["images/cat/old/1.jpg: 2 folders deep, so its class is not clear"]),
        (["train/cat/1.jpg", "test/cat/2.jpg"], ["images/test/cat/2.jpg: 2 folders deep"]),
        (["train/1.jpg", "val/2.jpg"], ["images: its folders train, val are no classes"]),
        (["1.jpg"], ["images: no folders with images: move the images of each class into one"]),
        (["cat/1.jpg", "Cat/2.jpg"], ["labels 'Cat' and 'cat' differ only in case"]),
        (["train/Cat/1.jpg", "train/cat/2.jpg"], ["folder train/cat: labels 'Cat' and 'cat'"]),
    ],
)
def test_folders_that_do_not_say_the_class(write, names, parts):
    problem = check_problem(write(*(f"images/{name}" for name in names)), *parts)
    assert problem.startswith("1 problem(s)")


def test_a_link_to_the_folder_itself_ends(write, root):
    dataset = write("images/cat/1.jpg")
    (root / "images/cat/again").symlink_to(root / "images")
    check_problem(dataset, "folders deep, so its class is not clear")


def test_a_missing_table_names_the_remedy(write, root):
    dataset = write("images/cat/1.jpg", labels=None)
    remedy = "create it (image,labels) or set dataset.labels; if each image lies in the folder of"
    check_problem(dataset, f"labels.csv: No such file or directory: {remedy}")
    (root / "images/cat/1.jpg").rename(root / "images/1.jpg")
    assert "folders" not in check_problem(dataset, "labels.csv: No such file")
    (root / "images/1.jpg").rename(root / "1.jpg")
    (root / "images/cat").rmdir()
    (root / "images").rmdir()
    write_mask(root / "masks/1.png")  # is not a class either
    assert "folders" not in check_problem(dataset, "labels.csv: No such file")
