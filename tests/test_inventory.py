"""The inventory: lists, shards by CRC-32, digests of contents, files that were deleted."""

import os
import subprocess
import sys

import numpy as np
import pytest
from datasets_on_disk import (
    annotation,
    inventory,
    write_folder,
    write_image,
    write_labels,
    write_lists,
    write_mask,
    write_text,
    write_voc,
)

from psa_core.datasets.formats.source import DatasetError
from psa_core.runtime.artifacts import write_manifest

ROWS = ["x.jpg,cat dog,train", "cats/y,cat,train", "z.webp,dog,train", "w,cat,val"]


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def voc(root):
    return write_voc(root)


@pytest.fixture
def folder(root):
    return write_folder(root)


@pytest.mark.parametrize("module", ["inventory", "contents", "formats"])
def test_the_plan_needs_the_standard_library_alone(module):
    code = (
        f"import sys, psa_core.datasets.{module}\n"
        "names = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(names & sys.stdlib_module_names ^ names))"
    )
    command = [sys.executable, "-S", "-P", "-c", code]  # without site-packages
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(__file__))}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "['__main__', 'psa_core']"


def test_lists_scored_images_and_classes(folder):
    data = inventory(folder)
    training = ["cats__y", "x", "z"]
    assert data.images == {"train_aug": training, "train": ["x"], "val": ["w"], "test": []}
    assert data.scored == {"train_aug": ["x"], "train": ["x"], "val": ["w"]}
    assert (data.classes, data.mask_values) == (("cat", "dog"), [0, 1, 2])


def test_lists_are_sorted(voc, root):
    write_lists(root, train_aug="c b a", train="c a", val="e d")
    data = inventory({**voc, "classes": ["bus", "dog", "cat"]})
    assert data.images["train_aug"] == ["a", "b", "c"]
    assert data.scored == {"train_aug": ["a", "c"], "train": ["a", "c"], "val": ["d", "e"]}


@pytest.mark.parametrize("others", ["background", "ignore"])
def test_mask_values_are_those_of_vocs_own_masks(voc, others):
    assert inventory({**voc, "others": others}).mask_values == [0, 12, 8]  # dog, cat


# --- shards ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "shards", "shard"),
    [
        ("123456789", 2**32, "3421780262"),  # CRC-32's published check value 0xCBF43926
        ("123456789", 100, "62"),
        ("123456789", 1000, "262"),
        ("123456789", 101, "050"),  # 3421780262 = 101 * 33879012 + 50
        ("123456789", 1, "0"),
    ],
)
@pytest.mark.parametrize("part", ["train_aug", "val"])
def test_a_shard_depends_on_list_and_name_alone(folder, root, image, shards, shard, part):
    write_image(root / f"images/{image}.png")
    split = {"train_aug": "train", "val": "val"}[part]
    for others in (ROWS, ROWS[:1]):
        write_labels(root, f"{image},cat,{split}", *others)
        data = inventory({**folder, "shards": shards})
        assert data.shard_of(image) == f"{part}_{shard}"
        assert image in data.images_of(f"{part}_{shard}")


def test_each_image_is_in_one_shard_of_its_part(voc):
    # CRC-32 of "a" is 0xE8B7BE43, of "b" 0x71BEEFF9, of "d" 0x98DD4ACC
    data = inventory({**voc, "shards": 3})
    numbers = [crc % 3 for crc in (0xE8B7BE43, 0x71BEEFF9, 0x98DD4ACC)]
    parts = ["train_aug", "train_aug", "val"]
    for image, part, number in zip("abd", parts, numbers, strict=True):
        assert data.shard_of(image) == f"{part}_{number}"
    assert data.shards("train_aug", "val", "test") == sorted({data.shard_of(i) for i in "abd"})
    assert data.shards("val") == [data.shard_of("d")]
    assert data.shards("test") == []
    assert sorted(i for s in data.shards("train_aug") for i in data.images_of(s)) == ["a", "b"]
    assert sorted(i for s in data.shards("train_aug") for i in data.masked_of(s)) == ["a"]


def test_an_image_in_val_and_test_has_a_shard_in_each(voc, root):
    write_image(root / "JPEGImages/t.jpg")
    write_lists(root, test="t d")
    data = inventory({**voc, "test": "test", "shards": 1})
    assert data.images["test"] == ["d", "t"]
    assert data.shard_of("d") == "val_0"
    assert (data.shard_of("d", "val"), data.shard_of("d", "test")) == ("val_0", "test_0")
    assert data.shard_of("t") == "test_0"


def test_names_that_are_not_there_are_told(voc):
    data = inventory({**voc, "shards": 1})
    with pytest.raises(DatasetError, match="no image 'c' in the lists of the data set"):
        data.shard_of("c")
    with pytest.raises(DatasetError, match=r"no image 'a' in dataset\.val"):
        data.shard_of("a", "val")
    with pytest.raises(DatasetError, match="no shard 'test_0': the data set has train_aug_0, val"):
        data.images_of("test_0")


# --- digests --------------------------------------------------------------------------------------


def digests(dataset, part="train_aug"):
    """(of the images, of the masks) of the only shard of a part, by a new process's inventory."""
    data = inventory({**dataset, "shards": 1})
    return data.digest(f"{part}_0", "images"), data.digest(f"{part}_0", "masks")


def touch(root):
    for path in root.rglob("*"):
        os.utime(path, (0, 0))


def write_the_same_again(root):
    for path in list(root.rglob("*.*")):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)


def change_order(root):
    write_labels(root, *ROWS[::-1])


def spell_labels_otherwise(root):
    write_labels(root, "x.jpg,dog;cat,train", "cats/y,cat;cat,train", *ROWS[2:])


def change_val(root):
    write_labels(root, *ROWS[:3], "w,dog,val")
    write_mask(root / "masks/w.png", [2])
    write_image(root / "images/w.bmp", size=(44, 44))


def change_image(root):
    write_image(root / "images/z.webp", size=(44, 44))


def move_image(root):
    (root / "images/cats/y.PNG").rename(root / "images/cats/y.png")


def change_label(root):
    write_labels(root, *ROWS[:1], "cats/y,dog,train", *ROWS[2:])


def remove_row(root):
    write_labels(root, *ROWS[:2], ROWS[3])


def change_mask(root):
    write_mask(root / "masks/x.png", [0, 2, 1])


def add_mask(root):
    write_mask(root / "masks/z.png", [0, 2])


def swap_classes(root):
    write_text(root / "classes.txt", "dog\ncat\n")


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (touch, (False, False)),
        (write_the_same_again, (False, False)),
        (change_order, (False, False)),
        (spell_labels_otherwise, (False, False)),
        (change_val, (False, False)),
        (change_image, (True, False)),
        (move_image, (True, False)),
        (change_label, (True, False)),
        (remove_row, (True, False)),  # z has no mask
        (change_mask, (False, True)),
        (add_mask, (False, True)),
        (swap_classes, (True, True)),
    ],
)
def test_a_digest_changes_with_what_the_shard_holds(folder, root, change, changed):
    before = digests(folder)
    change(root)
    after = digests(folder)
    assert tuple(old != new for old, new in zip(before, after, strict=True)) == changed


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({"others": "ignore"}, (False, True)),
        ({"classes": ["cat", "dog"]}, (True, True)),
        ({"classes": ["dog", "cat", "bus"]}, (True, True)),
        ({"limit": 1}, (True, False)),  # b has no mask
        ({"masks": "elsewhere"}, (False, True)),
        ({"images": "JPEGImages"}, (False, False)),
        ({"cache": True, "seed": 3}, (False, False)),
    ],
)
def test_a_digest_changes_with_the_configuration(voc, root, change, changed):
    write_mask(root / "elsewhere/a.png")
    write_mask(root / "elsewhere/d.png")
    before, after = digests(voc), digests({**voc, **change})
    assert tuple(old != new for old, new in zip(before, after, strict=True)) == changed


def test_unread_annotations_count_by_their_contents(voc, root):
    whole = {**voc, "classes": None}
    before = digests(whole)
    os.utime(root / "Annotations/b.xml", (0, 0))
    assert digests(whole) == before
    write_text(root / "Annotations/b.xml", annotation("cat"))
    images, masks = digests(whole)
    assert (images != before[0], masks) == (True, before[1])
    write_text(root / "Annotations/d.xml", annotation("dog"))  # of val
    assert digests(whole) == (images, masks)


def test_a_list_limited_to_few_images_reads_few_files(folder, root, monkeypatch):
    data = inventory({**folder, "limit": 1, "shards": 1})
    read = []
    monkeypatch.setattr(
        data._digests, "of", lambda paths: read.extend(paths) or dict.fromkeys(read)
    )
    data.digest("train_aug_0", "images")
    expected = ["images/cats/y.PNG", "images/w.bmp", "masks/w.png"]  # the first by their ids
    assert sorted(read) == sorted(f"{root}/{name}" for name in expected)


# --- deleted files --------------------------------------------------------------------------------


@pytest.fixture
def maps(voc, tmp_path):
    """(inventory with one shard, pattern) after a run; images are a, b and é.v1."""
    root = tmp_path / "data"
    write_image(root / "JPEGImages/é.v1.jpg")
    write_text(root / "Annotations/é.v1.xml", annotation("cat"))
    write_lists(root, train_aug="a b c é.v1")
    data = inventory({**voc, "shards": 1})
    pattern = f"{tmp_path}/maps/{{}}.npy"
    (tmp_path / "maps").mkdir()
    for image in ("a", "b", "é.v1"):
        np.save(pattern.format(image), np.zeros(1))
    write_manifest(tmp_path / "maps/train_aug_0.txt", pattern, ["a", "b", "é.v1"])
    return data, pattern


def test_deleted_files_of_finished_shards_are_found(maps):
    data, pattern = maps
    assert data.deleted(pattern, data.shards("train_aug", "val")) == []
    for image in ("b", "é.v1"):
        os.remove(pattern.format(image))
    expected = [pattern.format(image) for image in ("b", "é.v1")]
    assert data.deleted(pattern, data.shards("train_aug", "val")) == expected
    assert data.deleted(pattern, data.shards("val")) == []


def test_a_shard_without_manifest_misses_nothing(maps, tmp_path):
    data, pattern = maps
    os.remove(pattern.format("a"))
    os.remove(tmp_path / "maps/train_aug_0.txt")
    assert data.deleted(pattern, ["train_aug_0"]) == []
    assert data.deleted(f"{tmp_path}/nowhere/{{}}.npy", ["train_aug_0"]) == []


def test_images_that_have_left_the_shard_are_not_missed(maps, voc, tmp_path):
    _, pattern = maps
    for image in ("a", "b"):
        os.remove(pattern.format(image))
    write_lists(tmp_path / "data", train_aug="b", train="", val="a d")  # a has moved to val
    data = inventory({**voc, "classes": ["dog"], "shards": 1, "limit": 9})
    assert data.deleted(pattern, ["train_aug_0"]) == [pattern.format("b")]
    data = inventory({**voc, "shards": 1, "limit": 9})
    assert data.shard_of("a") == "val_0"
    assert data.deleted(pattern, ["train_aug_0"]) == [pattern.format("b")]
