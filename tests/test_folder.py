"""A folder of images with a csv: tables, lists, splits; each error names file, value and remedy."""

import os

import pytest
from datasets_on_disk import (
    check_problem,
    inventory,
    read,
    write_folder,
    write_image,
    write_labels,
    write_mask,
    write_text,
)

from psa_core.datasets.formats.source import image_id, is_hostile, without_copies


@pytest.fixture
def root(tmp_path):
    return tmp_path / "mine"


@pytest.fixture
def folder(root):
    return write_folder(root)


def test_files_labels_lists_and_classes(folder, root):
    source = read(folder)
    images = {"x": "x.jpg", "cats__y": "cats/y.PNG", "z": "z.webp", "w": "w.bmp"}
    assert source.images == {image: f"{root}/images/{name}" for image, name in images.items()}
    assert source.masks == {image: f"{root}/masks/{image}.png" for image in "xw"}
    assert source.labels == {"x": ["cat", "dog"], "cats__y": ["cat"], "z": ["dog"], "w": ["cat"]}
    training = ["x", "cats__y", "z"]
    assert source.lists == {"train_aug": training, "train": ["x"], "val": ["w"], "test": []}
    assert source.coding == [
        (0, 0, "background"),
        (1, 1, "cat"),
        (2, 2, "dog"),
        (255, 255, "ignore"),
    ]


def test_order_of_classes_is_that_of_the_configuration(folder):
    source = read({**folder, "classes": ["dog", "cat"]})
    assert source.labels["x"] == ["dog", "cat"]
    assert source.coding[1:3] == [(1, 1, "dog"), (2, 2, "cat")]


def test_order_of_classes_is_that_of_classes_txt(folder, root):
    write_text(root / "classes.txt", "dog\ncat\n")
    source = read(folder)
    assert (source.names, source.labels["x"]) == (("dog", "cat"), ["dog", "cat"])
    assert read({**folder, "classes": ["cat", "dog"]}).labels["x"] == ["cat", "dog"]
    write_text(root / "classes.txt", "dog\ncat\ndog\n")
    check_problem(folder, "classes.txt: 'dog' is listed twice", "remove one")
    write_text(root / "classes.txt", "dog\n")
    check_problem(folder, "line 2: label 'cat' of 'x.jpg' is not a class", "add it to the classes")


def test_a_number_may_be_a_class(folder, root):
    write_labels(root, "x,1", "w,2", header="image,labels")
    source = read({**folder, "classes": [1, 2], "val_fraction": 0.0})
    assert source.labels == {"x": ["1"], "w": ["2"]}


def test_a_label_that_is_given_twice_counts_once(folder, root):
    write_labels(root, "x,cat;cat", "w,dog", header="image,labels")
    assert read({**folder, "val_fraction": 0.0}).labels["x"] == ["cat"]


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbfimage,labels\nx.jpg,cat\nz,dog\n",
        b"image,labels\r\nx.jpg,cat\r\n\r\nz,dog\r\n",
        b'"labels","image"\n"cat","x.jpg"\n"dog", "z"\n',
        b"image, labels ,note\nx.jpg, cat ,\xc3\xa9t\xc3\xa9\nz,dog\n",
        b"split,image,labels\n,x.jpg,cat\n,z,dog\n",
        b"filename,image,labels\n1,x.jpg,cat\n2,z,dog\n",
    ],
)
def test_csv_of_spreadsheets(folder, root, raw):
    (root / "labels.csv").write_bytes(raw)
    source = read({**folder, "val_fraction": 0.0})
    assert source.labels == {"x": ["cat"], "z": ["dog"]}
    assert source.lists["train_aug"] == ["x", "z"]


def test_class_names_with_spaces(folder, root):
    write_labels(root, "x,polar bear; dog", "z,dog", header="image,labels")
    source = read({**folder, "val_fraction": 0.0})
    assert source.labels == {"x": ["dog", "polar bear"], "z": ["dog"]}


def test_ids_are_safe_file_names(folder, root):
    write_image(root / "images/my dir/it's {1} été.v2.jpg")
    write_image(root / "images/日本/猫.1.png")
    rows = ["my dir/it's {1} été.v2.jpg,cat", "./日本//猫.1,dog", "x,cat"]
    write_labels(root, *rows, header="image,labels")
    source = read({**folder, "val_fraction": 0.0})
    assert source.lists["train_aug"] == ["my_dir__it_s__1__été.v2", "日本__猫.1", "x"]
    assert source.images["日本__猫.1"] == f"{root}/images/日本/猫.1.png"


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("a/b.JPG", "a__b"),
        ("b.v2", "b.v2"),
        ("./a//b.jpg", "a__b"),
        (".jpg", ".jpg"),
        ("..jpg", "..jpg"),  # never a name of nothing but dots
        ("a b\tc.png", "a_b_c"),
    ],
)
def test_ids_of_names(name, image):
    assert image_id(name) == image


@pytest.mark.parametrize("name", ["", ".", "./.", "/a", "..", "a/../b", "a\\b", "//"])
def test_names_that_are_no_paths_below_a_folder(name):
    assert is_hostile(name)


@pytest.mark.parametrize("name", ["a", "./a", "a//b", "a..b", "...", "..a/b.c"])
def test_names_that_are_paths_below_a_folder(name):
    assert not is_hostile(name)


def test_images_straight_below_the_root(folder, root):
    for path in (root / "images").iterdir():
        path.rename(root / path.name)
    (root / "images").rmdir()
    assert read(folder).images["cats__y"] == f"{root}/cats/y.PNG"


@pytest.mark.parametrize(
    ("files", "lists"),
    [
        ({"train": "z\nx.jpg\n", "val": "cats/y.PNG\n"}, (["z", "x"], ["x"], ["cats__y"])),
        ({"train": "z\nx\n"}, (["z", "x"], ["x"], [])),
        ({"val": "z\n"}, (["x", "cats__y", "w"], ["x", "w"], ["z"])),
    ],
)
def test_lists_win_over_the_column_split(folder, root, files, lists):
    for key, text in files.items():
        write_text(root / f"{key}.txt", text)
    found = read(folder).lists
    assert (found["train_aug"], found["train"], found["val"]) == lists


def test_list_of_scored_images(folder, root):
    write_mask(root / "masks/z.png", [2])
    write_text(root / "scored.txt", "z.webp\n")
    assert read(folder).lists["train"] == ["x", "z"]
    assert read({**folder, "train": "scored"}).lists["train"] == ["z"]
    write_text(root / "scored.txt", "cats/y\nw\n")
    parts = ["dataset.train: 'cats__y' has no mask", "dataset.train: 'w' is not in train_aug"]
    check_problem({**folder, "train": "scored"}, *parts)


def test_the_split_is_stable_when_images_are_added(root):
    dataset = {"format": "folder", "root": str(root), "val_fraction": 0.25, "seed": 1}
    for number in range(400):
        write_text(root / f"image{number}.jpg", "")
    splits = {}
    for images in (200, 400):
        rows = [f"image{i},cat" for i in range(400 - images, 400)]
        write_labels(root, *rows, header="image,labels")
        splits[images] = read(dataset).lists["val"]
    assert [i for i in splits[400] if int(i[5:]) >= 200] == splits[200]
    of_100_to_399 = [i for i in splits[400] if len(i) == len("image100")]
    assert 45 <= len(of_100_to_399) <= 105  # 75 expected, standard deviation 7.5
    assert read({**dataset, "seed": 2}).lists["val"] != splits[400]
    assert read({**dataset, "val_fraction": 0.0}).lists["val"] == []


@pytest.mark.parametrize("is_there", [False, True])
def test_without_masks_nothing_is_scored(folder, root, is_there):
    (root / "masks").rename(root / "away")
    if is_there:
        (root / "masks").mkdir()
    data = inventory(folder)
    assert data.scored == {"train_aug": [], "train": [], "val": []}
    assert data.images["train"] == []
    assert data.images["train_aug"] == ["cats__y", "x", "z"]


@pytest.mark.parametrize(
    ("rows", "change", "parts"),
    [
        (["x,cat"], {"classes": ["cat", "ox"]}, ["no image of train_aug shows ox", "[cat]"]),
        (["x,Cta"], {"classes": ["cat"]}, ["line 2: label 'Cta'", "did you mean 'cat'?", "add it"]),
        (["x,cat", "z,"], {}, ["labels.csv, line 3: 'z' has no labels", "leave the image out"]),
        (["x,cat", "z"], {}, ["labels.csv, line 3: 'z' has no labels", "leave the image out"]),
        (["x,cat", "x.jpg,cat"], {}, ["line 3: image 'x.jpg'", "'x' in line 2", "rename one"]),
        (["cats/y,cat", "cats__y,cat"], {}, ["line 3", "same id 'cats__y' as 'cats/y'", "rename"]),
        (["../x.jpg,cat"], {}, ["line 2: image '../x.jpg' is not a path below", "without .."]),
        (["/etc/x.jpg,cat"], {}, ["line 2: image '/etc/x.jpg' is not a path below", "relative"]),
        (["cats\\y.jpg,cat"], {}, ["line 2: image 'cats\\\\y.jpg' is not a path", "with /"]),
        ([",cat"], {}, ["line 2: image '' is not a path", "write it"]),
        (["x,cat", "v.jpg,cat"], {}, ["images: 0 images for 'v.jpg' of line 3", "add the file"]),
        (["x.png,cat"], {}, ["0 images for 'x.png' of line 2 (there: x.jpg)", "correct"]),
        (["x,cat,dog"], {}, ["1 problem(s)", "3 fields, the header has 2", "separate labels by ;"]),
        (['x,"cat'], {}, ["labels.csv: unexpected end of data", "close each quote"]),
        (["x,background"], {}, ["'background' cannot be the name of a class", "out of"]),
        (["x," + ";".join(map(str, range(254)))], {}, ["254 classes", "hold 253", "merge"]),
        (["x,cat"], {"train_aug": "t.txt"}, ["t.txt: No such file", "set dataset.train_aug"]),
        (["x,cat"], {"images": "pics"}, ["pics: no such folder", "correct dataset.images"]),
        (["x,cat"], {"masks": "truth"}, ["truth: no such folder", "correct dataset.masks"]),
        (["z,cat"], {}, ["masks: no mask has the name of an image", "'z'", "rename them"]),
    ],
)
def test_errors_of_table_and_configuration(folder, root, rows, change, parts):
    write_labels(root, *rows, header="image,labels")
    check_problem({**folder, "val_fraction": 0.0, **change}, *parts)


def test_a_class_of_val_alone_has_a_remedy_that_helps(folder, root):
    rows = ["x,cat,train", "w,cow,val"]
    write_labels(root, *rows)
    remedy = "or take it out of the labels, masks and classes of the others"
    problem = check_problem(folder, "no image of train_aug shows cow: add images", remedy)
    assert problem.count("\n") == 1  # there is no other
    write_labels(root, rows[0], "w,cat,val")
    assert inventory(folder).classes == ("cat",)


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        (b"image;labels\nx;cat\n", ["no column image, labels in the header 'image;labels'"]),
        (b"image,label\nx,cat\n", ["no column labels in the header 'image,label'", "first line"]),
        (b"", ["no column image, labels in the header ''", "first line"]),
        (b"image,labels\nx,\xe9t\xe9\n", ["labels.csv: byte 0xe9 at 15 is not UTF-8", "save"]),
        (b"image,labels,split\nx,cat,test\n", ["line 2: split 'test' of 'x'", "train or val"]),
    ],
)
def test_unreadable_tables(folder, root, raw, parts):
    (root / "labels.csv").write_bytes(raw)
    check_problem(folder, *parts)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("x\nv\n", ["train.txt: 'v' has no row in", "labels.csv: add one"]),
        ("x\nx.jpg\n", ["train.txt: 'x' is listed twice", "remove one"]),
    ],
)
def test_errors_of_lists(folder, root, text, parts):
    write_text(root / "train.txt", text)
    check_problem(folder, *parts)


def test_two_files_for_one_row(folder, root):
    write_image(root / "images/w.jpg")
    there = "images: 2 images for 'w' of line 5 (there: w.bmp, w.jpg)"
    check_problem(folder, there, "correct its name")
    rows = ["x.jpg,cat dog,train", "w.jpg,cat,val"]  # with its suffix the name is unambiguous
    write_labels(root, *rows)
    assert read(folder).images["w"] == f"{root}/images/w.jpg"


def test_problems_of_lists_files_and_classes_are_reported_together(folder, root):
    write_text(root / "train.txt", "x\nx\nv\n")
    (root / "images/x.jpg").unlink()
    parts = ["'x' is listed twice", "'v' has no row", "0 images for 'x.jpg'", "shows cow"]
    message = check_problem({**folder, "classes": ["cat", "dog", "cow"]}, *parts)
    assert message.startswith("4 problem(s)")


# --- files ----------------------------------------------------------------------------------------


def test_an_empty_list_is_named(folder, root):
    write_text(root / "train.txt", "")
    check_problem({**folder, "train_aug": "train.txt"}, "no image to train on in train.txt: check")


def test_masks_that_are_not_png(folder, root):
    write_image(root / "masks/z.jpg")
    there = "masks: 1 of 3 masks are not PNG, TIFF or WebP, the first is z.jpg: save them as PNG"
    check_problem(folder, there)
    write_mask(root / "masks/z.png", [2])  # then the .jpg beside it does not count
    assert read(folder).masks["z"] == f"{root}/masks/z.png"
    for suffix in ("webp", "TIFF"):
        (root / "masks/z.png").rename(root / f"masks/z.{suffix}")
        assert read(folder).masks["z"] == f"{root}/masks/z.{suffix}"
        write_mask(root / "masks/z.png", [2])
    assert read(folder).masks["z"] == f"{root}/masks/z.png"  # of several the PNG


def test_heic_beside_a_jpg_of_the_name_does_not_count(folder, root):
    """As a phone exports a photograph twice."""
    write_labels(root, "x,cat", "z,dog", header="image,labels")
    expected = read({**folder, "val_fraction": 0.0})
    for suffix in ("HEIC", "avif"):
        write_text(root / f"images/x.{suffix}", "")
    assert read({**folder, "val_fraction": 0.0}) == expected
    kept = ["a/x.heic", "x.jpg", "a/y.png"]
    assert without_copies([*kept, "a/y.AVIF"]) == kept


@pytest.mark.parametrize("suffix", ["jfif", "HEIC", "avif"])
def test_less_common_suffixes_of_images(folder, root, suffix):
    write_image(root / "images/x.jpeg")
    (root / "images/x.jpg").unlink()
    (root / "images/x.jpeg").rename(root / f"images/x.{suffix}")
    write_labels(root, f"x.{suffix},cat", header="image,labels")
    assert read(folder).images["x"] == f"{root}/images/x.{suffix}"


@pytest.mark.parametrize(
    ("name", "file", "there"),
    [
        ("images/x.jpg", None, "there: 'x.jpg', without 'images/'"),
        ("photo.raw", "photo.raw", "there: 'photo.raw'"),
        ("photo.jpg", "photo.RAW", "there: 'photo.RAW'"),
        (
            "caf\u00e9.jpg",
            "cafe\u0301.jpg",
            "there: 'cafe\u0301.jpg', which differs in its Unicode",
        ),
        ("Photo.jpg", "photo.jpg", "there: 'photo.jpg'"),
    ],
)
def test_a_missing_image_that_is_there_under_another_name(folder, root, name, file, there):
    if file:
        write_text(root / "images" / file, "")
    write_labels(root, "z,cat", f"{name},cat", header="image,labels")
    check_problem({**folder, "val_fraction": 0.0}, f"0 images for {name!r}", there)


def test_names_of_images_that_are_too_long_for_files(folder, root):
    name = "\u732b" * 81  # 243 bytes
    write_text(root / "images" / f"{name}.jpg", "")
    write_labels(root, "x,cat", f"{name}.jpg,cat", header="image,labels")
    check_problem({**folder, "val_fraction": 0.0}, "its id has 243 bytes, file names can have 240")
    long = "/".join(["a" * 50] * 5)  # its parts are short, its id is not
    write_text(root / f"images/{long}.jpg", "")
    write_labels(root, "x,cat", f"{long}.jpg,cat", header="image,labels")
    check_problem({**folder, "val_fraction": 0.0}, "its id has 258 bytes")
    for never in ("a" * 300, "a" * 300 + "/x"):  # parts of more than 255 bytes cannot be looked up
        write_labels(root, "x,cat", f"{never}.jpg,cat", header="image,labels")
        check_problem({**folder, "val_fraction": 0.0}, f"0 images for '{never}.jpg' of line 3")


# --- classes and splits ---------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["background", "_background_\n", "__ignore__\n_background_"])
def test_background_at_the_start_of_the_classes_keeps_the_coding(folder, root, first):
    write_text(root / "classes.txt", f"{first}\ndog\ncat\n")
    assert read(folder).coding == [
        (0, 0, "background"),
        (1, 1, "dog"),
        (2, 2, "cat"),
        (255, 255, "ignore"),
    ]


def test_background_elsewhere_in_the_classes(folder, root):
    write_text(root / "classes.txt", "dog\ncat\n_background_\n")
    check_problem(folder, "'_background_' cannot be the name of a class", "out of the labels")


def test_a_listed_class_without_images_keeps_the_coding(folder, root):
    write_text(root / "classes.txt", "dog\ncow\ncat\n")
    problem = check_problem(folder, "no image of train_aug shows cow: add images, or take it out")
    assert "count the values of the masks again" in problem
    (root / "masks").rename(root / "away")
    check_problem(folder, "write dataset.classes: [dog, cat]")


@pytest.mark.parametrize(
    ("rows", "change", "parts"),
    [
        ([], {}, ["labels.csv: it has no images: add a row for each"]),
        (["x,cat,val", "z,dog,val"], {}, ["the split of", "all 2 images are for val"]),
        (["x,cat,", "z,dog,"], {"val_fraction": 0.999}, ["all 2 images", "val_fraction decides"]),
    ],
)
def test_a_split_that_leaves_nothing_to_train_on(folder, root, rows, change, parts):
    write_labels(root, *rows)
    problem = check_problem({**folder, **change}, *parts)
    assert problem.startswith("1 problem(s)")


def test_pipes_and_folders_in_place_of_lists_and_tables(folder, root):
    (root / "labels.csv").unlink()
    os.mkfifo(root / "labels.csv")
    (root / "val.txt").mkdir()
    os.mkfifo(root / "classes.txt")
    parts = [f"{name}: a pipe, not a file: " for name in ("labels.csv", "classes.txt")]
    check_problem(folder, *parts, "val.txt: a folder, not a file: ")
