"""The index: images and masks are decoded and checked; each error names file, value and remedy."""

import hashlib
import os

import numpy as np
import pytest
from datasets_on_disk import (
    SIZE,
    VOC_LABELS,
    annotation,
    write_folder,
    write_image,
    write_labels,
    write_lists,
    write_mask,
    write_text,
    write_voc,
)
from PIL import Image

from psa_core.datasets import index
from psa_core.datasets.decode import read_image
from psa_core.datasets.formats.source import DatasetError
from psa_core.datasets.index import ImageRow
from psa_core.errors import UserError


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def voc(root):
    return {**write_voc(root), "classes": None, "limit": 9}


@pytest.fixture
def folder(root):
    return write_folder(root)


def rows_of(dataset, images, path):
    """Through a table on disk, as the stages read it."""
    index.write_images(path, index.describe_images(dataset, images))
    return index.read_images(path)


def problems_of(function, dataset, images):
    """The message of the error that `describe_images` or `read_masks` raises."""
    with pytest.raises(DatasetError) as error:
        list(function(dataset, images))
    return str(error.value)


def test_rows_of_a_folder(folder, root, tmp_path):
    rows = rows_of(folder, ["x", "w", "cats__y"], tmp_path / "0.csv")

    def row(image, name, labels, classes):
        path = root / "images" / name
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return ImageRow(image, str(path), digest, labels, classes, SIZE[1], SIZE[0])

    assert rows == [
        row("cats__y", "cats/y.PNG", ("cat",), (1,)),
        row("w", "w.bmp", ("cat",), (1,)),
        row("x", "x.jpg", ("cat", "dog"), (1, 2)),
    ]
    assert {type(value) for value in rows[0]} == {str, tuple, int}


def test_rows_of_voc_read_the_annotations(voc, root, tmp_path):
    write_lists(root, test="t d")
    write_image(root / "JPEGImages/t.jpg")
    dataset = {**voc, "test": "test"}
    rows = {row.image: row for row in rows_of(dataset, ["a", "d", "t"], tmp_path / "0.csv")}
    assert {i: row.labels for i, row in rows.items()} == {
        "a": ("cat", "person"),
        "d": ("cat",),
        "t": (),
    }
    assert {i: row.classes for i, row in rows.items()} == {"a": (8, 15), "d": (8,), "t": ()}


def test_rows_of_a_subset_of_voc_have_its_indices(voc, tmp_path):
    rows = rows_of({**voc, "classes": ["dog", "cat"]}, ["a", "b"], tmp_path / "0.csv")
    assert [(row.labels, row.classes) for row in rows] == [(("cat",), (2,)), (("dog",), (1,))]


def test_odd_names_survive_the_table(folder, root, tmp_path):
    names = {"NA": "NA.jpg", "007": "007.jpg", "été.v2": "été.v2.jpg"}
    for name in names.values():
        write_image(root / "images" / name)
    (root / "masks").rename(root / "away")
    rows = ["NA,no;null", "007,1;no", "été.v2,1;null", 'x,"a, ""b"""']
    write_labels(root, *rows, header="image,labels")
    classes = ["1", 'a, "b"', "no", "null"]  # listed, as one of them holds a comma
    dataset = {**folder, "val_fraction": 0.0, "classes": classes}
    found = rows_of(dataset, [*names, "x"], tmp_path / "0.csv")
    assert {row.image: (row.labels, row.classes) for row in found} == {
        "NA": (("no", "null"), (3, 4)),
        "007": (("1", "no"), (1, 3)),
        "été.v2": (("1", "null"), (1, 4)),
        "x": (('a, "b"',), (2,)),
    }


def test_tables_are_joined_sorted_and_filtered(folder, tmp_path):
    tables = [tmp_path / "0.csv", tmp_path / "1.csv"]
    index.write_images(tables[0], index.describe_images(folder, ["z", "w"]))
    index.write_images(tables[1], index.describe_images(folder, ["x", "cats__y"]))

    def images(**options):
        return [row.image for row in index.read_images(tables, **options)]

    assert images() == ["cats__y", "w", "x", "z"]
    assert images(listed=["z", "x", "other"]) == ["x", "z"]
    assert images(listed=[]) == []
    assert images(only="w") == ["w"]
    assert images(only=None, listed=None) == images()
    assert [row.image for row in index.read_images(str(tables[0]))] == ["w", "z"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: bytes(len(content)),
        lambda content: content[: content.rindex(b",") - 8],
        lambda content: content.replace(b"image", b"imago"),
        lambda content: content.replace(b",40,", b",41,"),
        lambda content: content[: content.rindex(b"\n", 0, -1) + 1],
        lambda content: b"\xff" + content,
    ],
    ids=["empty", "zeros", "cut", "column", "number", "row", "not UTF-8"],
)
def test_a_damaged_table_is_named(folder, tmp_path, damage):
    index.write_images(tmp_path / "0.csv", index.describe_images(folder, ["z", "w"]))
    content = (tmp_path / "0.csv").read_bytes()
    (tmp_path / "0.csv").write_bytes(damage(content))
    assert damage(content) != content
    with pytest.raises(UserError, match=r"0\.csv: not a readable table of images .*; delete it"):
        index.read_images(tmp_path / "0.csv")


def test_an_image_without_a_row_is_named(folder, tmp_path):
    index.write_images(tmp_path / "0.csv", index.describe_images(folder, ["z", "w"]))
    with pytest.raises(ValueError, match=r"0\.csv: no row of x; delete it"):
        index.read_images(tmp_path / "0.csv", only="x")


def test_classes_that_no_image_shows_are_named(folder, tmp_path):
    rows = rows_of(folder, ["cats__y", "w"], tmp_path / "0.csv")
    index.check_classes(rows, ["cat"])
    with pytest.raises(DatasetError, match=r"no training image shows dog, cow: add images, or le"):
        index.check_classes(rows, ["dog", "cat", "cow"])


@pytest.mark.parametrize("function", [index.describe_images, index.read_masks])
def test_progress_counts_every_image(folder, function):
    seen = []
    list(function(folder, ["x", "w"], progress=lambda *counts: seen.append(counts)))
    assert seen == [(1, 2), (2, 2)]


# --- masks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("others", "of_bus"), [("background", 0), ("ignore", 255)])
def test_masks_are_read_as_class_indices(voc, others, of_bus):
    dataset = {**voc, "classes": ["dog", "cat"], "others": others}
    masks = dict(index.read_masks(dataset, ["d", "b", "a"]))
    assert list(masks) == ["d", "a"]  # b has none
    for mask in masks.values():  # background, cat, bus, ignore in VOC's values
        assert (mask.dtype, mask.shape) == (np.uint8, (32, 40))
        assert mask[0, :5].tolist() == [0, 2, of_bus, 255, 0]
        assert not mask[1:].any()


def test_a_shard_without_masks_has_none(folder):
    assert list(index.read_masks(folder, ["z", "cats__y"])) == []


def test_masks_before_and_after_a_broken_one_are_read(voc, root):
    write_mask(root / "SegmentationClass/c.png", [77])
    masks = index.read_masks(voc, ["a", "c", "d"])
    assert [next(masks)[0], next(masks)[0]] == ["a", "d"]
    with pytest.raises(DatasetError, match=r"1 problem.*\n.*c.png: values \[77\]"):
        next(masks)


def test_palette_masks_are_read_by_index(voc, root):
    mask = Image.fromarray(np.full((32, 40), 8, np.uint8), mode="P")
    mask.putpalette([0] * 768)  # all colours are black
    mask.save(root / "SegmentationClass/a.png")
    assert np.unique(dict(index.read_masks(voc, ["a"]))["a"]).tolist() == [8]


def resize_mask(root):
    write_mask(root / "SegmentationClass/a.png", size=(32, 40))


def colour_mask(root):
    write_mask(root / "SegmentationClass/a.png", mode="RGB")


def use_unlisted_values(root):
    write_mask(root / "SegmentationClass/a.png", [0, 21, 8, 254])


def truncate_mask(root):
    data = (root / "SegmentationClass/a.png").read_bytes()
    (root / "SegmentationClass/a.png").write_bytes(data[:45])


def empty_mask(root):
    (root / "SegmentationClass/a.png").write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (resize_mask, ["SegmentationClass/a.png: 32 x 40", "a.jpg has 40 x 32", "make the mask"]),
        (colour_mask, ["SegmentationClass/a.png: mode RGB", "save class indices"]),
        (use_unlisted_values, ["SegmentationClass/a.png: values [21, 254]", "20, 255]"]),
        (truncate_mask, ["SegmentationClass/a.png: cannot be decoded", "replace the file"]),
        (empty_mask, ["SegmentationClass/a.png: cannot be decoded", "replace the file"]),
    ],
)
def test_damaged_masks(voc, root, damage, parts):
    assert len(list(index.read_masks(voc, list("abc")))) == 2
    damage(root)
    message = problems_of(index.read_masks, voc, list("abc"))
    assert all(part in message for part in parts)
    assert message.startswith("1 problem(s)")
    if damage is not resize_mask:  # the index of images looks at the size alone
        index.describe_images(voc, list("abc"))


def test_another_size_of_mask_and_image_is_reported_by_both(voc, root):
    """Either file may be the one that changed, and only its own table is made again."""
    write_image(root / "JPEGImages/a.jpg", size=(50, 60))
    expected = f"{root}/SegmentationClass/a.png: 40 x 32 pixels, but its image {root}/JPEGImages/"
    for function in (index.describe_images, index.read_masks):
        message = problems_of(function, voc, ["a", "b"])
        assert f"{expected}a.jpg has 50 x 60: make the mask again" in message
        assert message.startswith("1 problem(s)")


# --- images ---------------------------------------------------------------------------------------


def truncate_image(root):
    data = (root / "JPEGImages/b.jpg").read_bytes()
    (root / "JPEGImages/b.jpg").write_bytes(data[: len(data) // 2])


def replace_image_by_text(root):
    write_text(root / "JPEGImages/b.jpg", "<html>404</html>")


def shrink_image(root):
    write_image(root / "JPEGImages/b.jpg", size=(31, 64))


def unlink_target(root):
    os.remove(root / "JPEGImages/b.jpg")
    os.symlink(root / "nowhere.jpg", root / "JPEGImages/b.jpg")


def break_annotation(root):
    write_text(root / "Annotations/b.xml", "<annotation><object>")


def name_unknown_object(root):
    write_text(root / "Annotations/b.xml", annotation("dgo"))


def empty_annotation(root):
    write_text(root / "Annotations/b.xml", annotation())


@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (truncate_image, ["JPEGImages/b.jpg: cannot be decoded", "truncated", "replace"]),
        (replace_image_by_text, ["JPEGImages/b.jpg: cannot be decoded", "replace the file"]),
        (shrink_image, ["JPEGImages/b.jpg: 31 x 64 pixels", "at least 32", "enlarge"]),
        (unlink_target, ["JPEGImages/b.jpg: No such file", "restore the file"]),
        (break_annotation, ["Annotations/b.xml: no element found", "restore it"]),
        (name_unknown_object, ["Annotations/b.xml: label 'dgo'", "did you mean 'dog'?"]),
        (empty_annotation, ["Annotations/b.xml: no object", "add one"]),
    ],
)
def test_damaged_images_and_annotations(voc, root, damage, parts):
    index.describe_images(voc, list("abc"))
    damage(root)
    message = problems_of(index.describe_images, voc, list("abc"))
    assert all(part in message for part in parts)
    assert message.startswith("1 problem(s)")
    index.describe_images(voc, ["a", "c"])  # other shards do not mind


def test_all_problems_of_a_shard_are_reported_together(voc, root):
    for image in "abd":
        write_text(root / f"JPEGImages/{image}.jpg", "")
    write_text(root / "Annotations/c.xml", "")
    write_mask(root / "SegmentationClass/e.png", size=(32, 40))
    message = problems_of(index.describe_images, voc, list(VOC_LABELS))
    assert message.startswith("5 problem(s)")
    parts = ["a.jpg: cannot", "b.jpg: cannot", "d.jpg: cannot", "c.xml", "e.png: 32 x 40"]
    assert all(part in message for part in parts)


@pytest.mark.parametrize("function", [index.describe_images, index.read_masks])
def test_files_and_rows_that_vanish_after_the_plan_are_named(voc, root, function):
    os.remove(root / "JPEGImages/a.jpg")
    assert "no image 'a' of the lists" in problems_of(function, voc, ["a", "b"])
    write_lists(root, train_aug="b c", train="c")
    assert "a: no longer in the lists" in problems_of(function, voc, ["a", "b"])


@pytest.mark.parametrize(
    ("mode", "name"),
    [("L", "a.png"), ("P", "a.png"), ("RGBA", "a.png"), ("CMYK", "a.jpg"), ("1", "a.png")],
)
def test_images_of_any_mode_are_read_as_rgb(folder, root, mode, name):
    write_image(root / "images" / name, mode=mode)
    write_labels(root, f"{name},cat", "x,cat dog", header="image,labels")
    table = index.describe_images({**folder, "val_fraction": 0.0}, ["a"])
    image = read_image(table["path"][0])
    assert (image.dtype, image.shape, image.flags.writeable) == (np.uint8, (32, 40, 3), True)


def test_an_image_of_sixteen_bits_is_refused(folder, root):
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(root / "images/cats/y.PNG")
    message = problems_of(index.describe_images, folder, ["cats__y"])
    assert "cats/y.PNG: has more than 8 bits per channel: save it with 8 bits" in message


def test_a_turned_image_and_its_mask(folder, root):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored as 40 x 32, upright 32 x 40
    write_image(root / "images/x.jpg", exif=exif.tobytes())
    table = index.describe_images(folder, ["x"])
    assert table.loc[0, ["height", "width"]].tolist() == [40, 32]
    mask = dict(index.read_masks(folder, ["x"]))["x"]  # of the stored size
    assert mask.shape == (40, 32)
    assert mask[:5, -1].tolist() == [0, 1, 2, 255, 0]  # the stored first row, read downwards
    write_mask(root / "masks/x.png", size=(33, 40))
    expected = "x.png: 33 x 40 pixels, but its image"
    for function in (index.describe_images, index.read_masks):
        assert expected in problems_of(function, folder, ["x"])


# --- one longest side -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "longest_side", "expected"),
    [
        ((375, 500), 500, (375, 500)),
        ((375, 500), None, (375, 500)),
        ((188, 250), 500, (376, 500)),  # enlarged
        ((4000, 3000), 500, (500, 375)),  # reduced
        ((20000, 200), 500, (3200, 32)),  # not to 5 pixels
        ((2000, 32), 500, (2000, 32)),
    ],
)
def test_sizes_at_a_longest_side(size, longest_side, expected):
    assert index.resized_size(*size, longest_side) == expected


def test_resized_images_keep_their_content(rng):
    image = np.tile(np.arange(0, 240, 3, np.uint8)[:, None, None], (1, 100, 3))  # 80 x 100, a ramp
    assert index.resized(image, 100) is image
    small = index.resized(image, 50)
    assert small.shape == (40, 50, 3)
    # Row k of the half covers rows 2k and 2k + 1: their mean is 6k + 1.5.
    assert np.abs(small[2:-2, :, 0].astype(int) - (6 * np.arange(40) + 1.5)[2:-2, None]).max() <= 1
    large = index.resized(image, 200)
    assert large.shape == (160, 200, 3)
    assert np.abs(large[::2].astype(int) - image.repeat(2, 1)).max() <= 2
