"""Data sets of three formats, read and checked; each error names file, value and remedy."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from psa_core import datasets
from psa_core.datasets import DatasetError, index
from psa_core.datasets.voc import CLASSES

SIZE = (40, 32)  # width, height


def write_image(path, mode="RGB", size=SIZE, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path, **options)


def write_mask(path, values=(0,), size=SIZE, mode="L"):
    """A mask whose first pixels hold the values, the rest the first of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.full((size[1], size[0]), values[0], np.uint8)
    mask.flat[: len(values)] = values
    Image.fromarray(mask).convert(mode).save(path)


def write(path, text, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, **options)


def annotation(*names):
    objects = "".join(
        f"<object><difficult>1</difficult><part><name>head</name></part><name>{name}</name>"
        "</object>"
        for name in names
    )
    return f"<annotation><folder>VOC2012</folder>{objects}</annotation>"


VOC_LABELS = {"a": ["person", "cat"], "b": ["dog"], "c": ["bus"], "d": ["cat"], "e": ["bus"]}


@pytest.fixture
def voc(tmp_path):
    """Five images: train_aug a b c, train a c, val d e; masks for all but b; labels in XML."""
    root = tmp_path / "VOC2012"
    for image, labels in VOC_LABELS.items():
        write_image(root / f"JPEGImages/{image}.jpg")
        write(root / f"Annotations/{image}.xml", annotation(*labels))
    for image in "acde":
        write_mask(root / f"SegmentationClass/{image}.png", [0, 8, 6, 255])
    write_lists(root, train_aug="a b c", train="a c", val="d e")
    return {"format": "voc", "root": str(root), "classes": ["dog", "cat"], "others": "background"}


def write_lists(root, **lists):
    for key, images in lists.items():
        write(root / f"ImageSets/Segmentation/{key}.txt", "\n".join(images.split()) + "\n")


@pytest.fixture
def folder(tmp_path):
    """Four images of two classes, x y z for training, w for val; masks for x and w."""
    root = tmp_path / "mine"
    for image in ("x.jpg", "cats/y.PNG", "z.webp", "w.bmp"):
        write_image(root / "images" / image)
    write_labels(root, "x.jpg,cat dog,train", "cats/y,cat,train", "z.webp,dog,train", "w,cat,val")
    write_mask(root / "masks/x.png", [0, 1, 2, 255])
    write_mask(root / "masks/w.png", [1])
    return {"format": "folder", "root": str(root), "classes": None}


def write_labels(root, *rows, header="image,labels,split", **options):
    write(root / "labels.csv", "\n".join([header, *rows]) + "\n", **options)


def prepare(dataset):
    return index.prepare(dataset)


def check_problem(dataset, *parts):
    """The error of a broken data set, whose message has to hold each part."""
    with pytest.raises(DatasetError) as error:
        prepare(dataset)
    for part in parts:
        assert part in str(error.value)
    return str(error.value)


# --- names and shards -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "shards", "shard"),
    [
        ("123456789", 2**32, "3421780262"),  # CRC-32's published check value 0xCBF43926
        ("123456789", 100, "62"),
        ("123456789", 1000, "262"),
        ("123456789", 101, "050"),  # 3421780262 = 101 * 33879012 + 50
        ("123456789", 1, "0"),
        ("", 100, "00"),
    ],
)
def test_shard_depends_on_list_and_name_alone(image, shards, shard):
    lists = {"train_aug": ["other", image], "train": [image], "val": []}
    assert image in datasets.shards_of(lists, shards)[f"train_aug_{shard}"]
    lists = {"train_aug": ["other"], "train": [], "val": [image]}
    assert datasets.shards_of(lists, shards)[f"val_{shard}"] == [image]


def test_import_stays_light():
    code = (
        "import sys; from psa_core import datasets; "
        "print([m for m in ('torch', 'snakemake', 'pandas', 'numpy', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- voc --------------------------------------------------------------------------------------


def test_voc_subset_leaves_out_images_without_selected_class(voc):
    images = {"train_aug": ["a", "b"], "train": ["a"], "val": ["d"], "test": []}
    assert datasets.read_lists(voc).images == images


def test_voc_without_subset_reads_no_annotation(voc):
    for name in os.listdir(f"{voc['root']}/Annotations"):
        os.remove(f"{voc['root']}/Annotations/{name}")
    lists = datasets.read_lists({**voc, "classes": None}).images
    images = {"train_aug": ["a", "b", "c"], "train": ["a", "c"], "val": ["d", "e"], "test": []}
    assert lists == images


@pytest.mark.parametrize("separator", [" ", ";"])
@pytest.mark.parametrize("suffix", ["", ".jpg"])
def test_voc_labels_csv_equals_annotations(voc, tmp_path, separator, suffix):
    from_xml, _ = prepare(voc)
    rows = [f"{i}{suffix},{separator.join(names)}" for i, names in VOC_LABELS.items()]
    write_labels(tmp_path / "VOC2012", *rows, header="image,labels")
    for image in VOC_LABELS:
        os.remove(f"{voc['root']}/Annotations/{image}.xml")
    from_csv, _ = prepare(voc)
    pd.testing.assert_frame_equal(from_xml, from_csv)


def test_voc_index(voc):
    table, _ = prepare(voc)
    root = voc["root"]
    # CRC-32 of "a" is 0xE8B7BE43, of "b" 0x71BEEFF9, of "d" 0x98DD4ACC
    expected = [
        ["a", f"{root}/JPEGImages/a.jpg", "cat", f"{root}/SegmentationClass/a.png"],
        ["b", f"{root}/JPEGImages/b.jpg", "dog", ""],
        ["d", f"{root}/JPEGImages/d.jpg", "cat", f"{root}/SegmentationClass/d.png"],
    ]
    assert table[["image", "path", "labels", "mask"]].values.tolist() == expected
    assert table[["height", "width"]].values.tolist() == [[32, 40]] * 3
    flags = table[["train_aug", "train", "val", "test"]].values.tolist()
    assert flags == [[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]
    numbers = [crc % 3 for crc in (0xE8B7BE43, 0x71BEEFF9, 0x98DD4ACC)]
    parts = ["train_aug", "train_aug", "val"]
    shards = datasets.shards_of(datasets.read_lists(voc).images, 3)
    for image, part, number in zip("abd", parts, numbers, strict=True):
        assert image in shards[f"{part}_{number}"]
    assert sum(map(len, shards.values())) == 3


@pytest.mark.parametrize(("others", "of_bus"), [("background", 0), ("ignore", 255)])
def test_voc_masks_by_selected_classes(voc, tmp_path, others, of_bus):
    table, classes = prepare({**voc, "others": others})
    coding = {row.mask_value: row.index for row in classes.itertuples(index=False)}
    assert list(coding) == [*range(21), 255]
    assert {v: i for v, i in coding.items() if i != of_bus} == (
        {12: 1, 8: 2, 255: 255} if of_bus == 0 else {0: 0, 12: 1, 8: 2}
    )
    classes.to_csv(tmp_path / "classes.csv", index=False)
    read = index.read_classes(tmp_path / "classes.csv")
    assert read.names == ("dog", "cat")
    mask = read.read_mask(table["mask"][0])  # background, cat, bus, ignore in VOC's values
    assert (mask.dtype, mask.shape) == (np.uint8, (32, 40))
    assert mask[0, :5].tolist() == [0, 2, of_bus, 255, 0]


def test_voc_classes_are_twenty_in_voc_order(voc, tmp_path):
    assert [CLASSES.index(name) + 1 for name in ("aeroplane", "cat", "tvmonitor")] == [1, 8, 20]
    _, classes = prepare({**voc, "classes": None, "limit": 9})
    assert classes["name"].tolist() == ["background", *CLASSES, "ignore"]
    assert classes["index"].tolist() == classes["mask_value"].tolist()


def test_voc_prefers_masks_of_sbd(voc, tmp_path):
    write_mask(tmp_path / "VOC2012/SegmentationClassAug/b.png", [12])
    write_mask(tmp_path / "VOC2012/SegmentationClassAug/a.png", [8])
    table, _ = prepare(voc)
    folders = [path.split("/")[-2] if path else "" for path in table["mask"]]
    assert folders == ["SegmentationClassAug", "SegmentationClassAug", "SegmentationClass"]


@pytest.mark.parametrize("name", ["deeplab", "deeplab.txt"])
@pytest.mark.parametrize("line", ["/JPEGImages/{0}.jpg /SegmentationClassAug/{0}.png", "{0} -1"])
def test_voc_lists_of_deeplab_and_paths(voc, tmp_path, name, line):
    root = tmp_path / "VOC2012"
    lines = "".join(f"{line}\n".format(i) for i in "ba")
    write(root / "ImageSets/Segmentation/deeplab.txt", lines)
    write(tmp_path / "elsewhere.txt", "d\n")
    chosen = {**voc, "train_aug": name, "val": str(tmp_path / "elsewhere.txt")}
    images = {"train_aug": ["b", "a"], "train": ["a"], "val": ["d"], "test": []}
    assert datasets.read_lists(chosen).images == images
    assert datasets.label_files(chosen) == sorted(
        [
            root / "ImageSets/Segmentation/deeplab.txt",
            root / "ImageSets/Segmentation/train.txt",
            tmp_path / "elsewhere.txt",
        ]
    )


def test_voc_default_train_list_is_cut_to_train_aug(voc, tmp_path):
    write_lists(tmp_path / "VOC2012", few="b c")
    lists = datasets.read_lists({**voc, "classes": None, "train_aug": "few"}).images
    assert lists == {"train_aug": ["b", "c"], "train": ["c"], "val": ["d", "e"], "test": []}


def test_voc_without_masks_scores_nothing(voc, tmp_path):
    (tmp_path / "VOC2012/SegmentationClass").rename(tmp_path / "away")
    images, scored, *_ = datasets.read_lists(voc)
    assert images == {"train_aug": ["a", "b"], "train": [], "val": ["d"], "test": []}
    assert scored == {"train_aug": [], "train": [], "val": []}
    assert prepare(voc)[0]["mask"].tolist() == ["", "", ""]


def test_voc_test_images_need_neither_labels_nor_masks(voc, tmp_path):
    root = tmp_path / "VOC2012"
    for image in ("t", "s"):
        write_image(root / f"JPEGImages/{image}.jpg")
    write(root / "Annotations/s.xml", "no XML")  # not read
    write_mask(root / "SegmentationClass/s.png", [77])  # nor is this
    write_lists(root, test="t s d")
    dataset = {**voc, "test": "test"}
    images, scored, *_ = datasets.read_lists(dataset)
    assert images == {
        "train_aug": ["a", "b"],
        "train": ["a"],
        "val": ["d"],
        "test": ["t", "s", "d"],
    }
    assert scored == {"train_aug": ["a"], "train": ["a"], "val": ["d"]}
    table, _ = prepare(dataset)
    assert table["image"].tolist() == ["a", "b", "d", "t", "s"]
    assert table["test"].tolist() == [0, 0, 1, 1, 1]
    assert table["labels"].tolist() == ["cat", "dog", "cat", "", ""]
    assert table["mask"].tolist()[3:] == ["", ""]
    assert root / "ImageSets/Segmentation/test.txt" in datasets.label_files(dataset)
    limited = datasets.read_lists({**dataset, "limit": 2}).images
    assert limited["test"] == ["t", "s"]


@pytest.mark.parametrize("others", ["background", "ignore"])
def test_predictions_are_written_in_vocs_own_indices(voc, tmp_path, others):
    prepare({**voc, "others": others})[1].to_csv(tmp_path / "classes.csv", index=False)
    classes = index.read_classes(tmp_path / "classes.csv")  # dog, cat: 12 and 8 of VOC's
    values = classes.mask_values(np.array([[0, 1], [2, 1]], np.uint8))
    assert values.dtype == np.uint8
    assert values.tolist() == [[0, 12], [8, 12]]


def test_limit_takes_first_images_of_each_list(voc):
    lists = datasets.read_lists({**voc, "classes": None, "limit": 1}).images
    assert lists == {"train_aug": ["a"], "train": ["a"], "val": ["d"], "test": []}


def test_scenes_are_listed_without_being_made():
    dataset = {"format": "scenes", "scenes": {"train": 3, "val": 2}, "limit": 2}
    lists, scored, *_ = datasets.read_lists(dataset)
    assert {key: len(images) for key, images in lists.items()} == {
        "train_aug": 2,
        "train": 2,
        "val": 2,
        "test": 0,
    }
    assert lists["train"] == lists["train_aug"]
    assert not set(lists["train"]) & set(lists["val"])
    assert scored == {key: lists[key] for key in ("train_aug", "train", "val")}
    assert datasets.label_files(dataset) == []


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"root": "nowhere"}, ["dataset.root: 'nowhere' is not a folder", "set it to"]),
        ({"format": "coco"}, ["dataset.format: 'coco'", "one of ['folder', 'voc']"]),
        ({"classes": ["cat", "dgo"]}, ["'dgo' is not a VOC class", "did you mean 'dog'?"]),
        ({"classes": ["cat", "cat"]}, ["'cat' is there twice", "remove one"]),
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
        ({"train": "train_aug"}, ["dataset.train: 'b' has no mask", "add it or take it out"]),
        ({"masks": "Masks"}, ["Masks: no such folder", "correct dataset.masks"]),
        ({"images": "Pics"}, ["Pics: no such folder", "set dataset.images"]),
        ({"labels": "tags.csv"}, ["tags.csv: No such file", "set dataset.labels"]),
    ],
)
def test_voc_config_errors(voc, change, parts):
    check_problem({**voc, **change}, *parts)


def test_voc_missing_train_aug_names_the_remedy(voc):
    os.remove(f"{voc['root']}/ImageSets/Segmentation/train_aug.txt")
    with pytest.raises(DatasetError, match=r"train_aug\.txt: No such.*`dataset.train_aug: train`"):
        datasets.read_lists(voc)
    lists = datasets.read_lists({**voc, "train_aug": "train"}).images
    assert lists == {"train_aug": ["a"], "train": ["a"], "val": ["d"], "test": []}


def break_annotation(root):
    write(root / "Annotations/b.xml", "<annotation><object>")


def name_unknown_object(root):
    write(root / "Annotations/b.xml", annotation("dgo"))


def empty_annotation(root):
    write(root / "Annotations/b.xml", annotation())


def remove_annotation(root):
    (root / "Annotations/b.xml").unlink()


def remove_annotations(root):
    (root / "Annotations").rename(root / "Annotated")


def remove_image(root):
    (root / "JPEGImages/b.jpg").unlink()


def truncate_image(root):
    data = (root / "JPEGImages/b.jpg").read_bytes()
    (root / "JPEGImages/b.jpg").write_bytes(data[: len(data) // 2])


def replace_image_by_text(root):
    write(root / "JPEGImages/b.jpg", "<html>404</html>")


def shrink_image(root):
    write_image(root / "JPEGImages/b.jpg", size=(31, 64))


def list_twice(root):
    write_lists(root, train_aug="a b c b")


def forget_row(root):
    write_labels(root, *(f"{i},bus" for i in "acde"), header="image,labels")


def resize_mask(root):
    write_mask(root / "SegmentationClass/a.png", size=(32, 40))


def colour_mask(root):
    write_mask(root / "SegmentationClass/a.png", mode="RGB")


def bilevel_mask(root):
    write_mask(root / "SegmentationClass/a.png", mode="1")


def use_unlisted_values(root):
    write_mask(root / "SegmentationClass/a.png", [0, 21, 8, 254])


def truncate_mask(root):
    data = (root / "SegmentationClass/a.png").read_bytes()
    (root / "SegmentationClass/a.png").write_bytes(data[:45])


@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (break_annotation, ["Annotations/b.xml: no element found", "restore it"]),
        (name_unknown_object, ["Annotations/b.xml: label 'dgo'", "did you mean 'dog'?"]),
        (empty_annotation, ["Annotations: 'b' has no labels", "add them"]),
        (remove_annotation, ["Annotations/b.xml: No such file", "restore it"]),
        (remove_annotations, ["neither Annotations/*.xml nor labels.csv", "add one"]),
        (remove_image, ["JPEGImages: no image 'b'", "take it out of the lists"]),
        (truncate_image, ["JPEGImages/b.jpg: cannot be decoded", "truncated", "replace"]),
        (replace_image_by_text, ["JPEGImages/b.jpg: cannot be decoded", "replace the file"]),
        (shrink_image, ["JPEGImages/b.jpg: 31 x 64 pixels", "at least 32", "enlarge"]),
        (list_twice, ["train_aug.txt: 'b' is listed twice", "remove one"]),
        (forget_row, ["labels.csv: no row for 'b'", "add it"]),
        (resize_mask, ["SegmentationClass/a.png: 32 x 40", "a.jpg has 40 x 32", "make the mask"]),
        (colour_mask, ["SegmentationClass/a.png: mode RGB", "save class indices"]),
        (bilevel_mask, ["SegmentationClass/a.png: mode 1,", "save class indices"]),
        (use_unlisted_values, ["SegmentationClass/a.png: values [21, 254]", "20, 255]"]),
        (truncate_mask, ["SegmentationClass/a.png: cannot be decoded", "replace the file"]),
    ],
)
def test_voc_file_errors(voc, tmp_path, damage, parts):
    whole = {**voc, "classes": None, "limit": 9}  # limit: not all of the 20 classes are there
    prepare(whole)
    damage(tmp_path / "VOC2012")
    message = check_problem(whole, *parts)
    assert message.startswith("1 problem(s)")


def test_all_problems_are_reported_together(voc, tmp_path):
    for image in "abd":
        write(tmp_path / f"VOC2012/JPEGImages/{image}.jpg", "")
    write_mask(tmp_path / "VOC2012/SegmentationClass/c.png", [77])
    message = check_problem(
        {**voc, "classes": None}, "a.jpg", "b.jpg", "d.jpg", "values [77]", "shows"
    )
    assert message.startswith("5 problem(s)")


def test_only_ten_problems_are_shown(voc, tmp_path):
    write_lists(tmp_path / "VOC2012", val=" ".join(f"lost{i:02}" for i in range(13)))
    labels = [f"lost{i:02},bus" for i in range(13)] + [f"{i},bus" for i in "abc"]
    write_labels(tmp_path / "VOC2012", *labels, header="image,labels")
    message = check_problem({**voc, "classes": ["bus"]}, "13 problem(s)", "'lost09'", "and 3 more")
    assert "'lost10'" not in message


# --- folder -----------------------------------------------------------------------------------


def test_lists_and_labels_are_read_once(voc, folder, monkeypatch):
    """Reading 12,000 XML files takes seconds, and the Snakefile reads the lists at each start."""
    read = []

    def counting(function):
        return lambda *args, **kwargs: read.append(args) or function(*args, **kwargs)

    for kind in (datasets.voc, datasets.folder):
        monkeypatch.setattr(kind, "read", counting(kind.read))
    scored = datasets.read_lists(voc).scored
    assert (scored["train"], scored["val"]) == (["a"], ["d"])
    scored = datasets.read_lists(folder).scored
    assert (scored["train"], scored["val"]) == (["x"], ["w"])
    assert len(read) == 2


def test_folder_index(folder):
    table, classes = prepare(folder)
    root = folder["root"]
    assert table[["image", "path", "labels", "mask"]].values.tolist() == [
        ["x", f"{root}/images/x.jpg", "cat;dog", f"{root}/masks/x.png"],
        ["cats__y", f"{root}/images/cats/y.PNG", "cat", ""],
        ["z", f"{root}/images/z.webp", "dog", ""],
        ["w", f"{root}/images/w.bmp", "cat", f"{root}/masks/w.png"],
    ]
    flags = table[["train_aug", "train", "val"]].values.tolist()
    assert flags == [[1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1]]
    rows = [[0, 0, "background"], [1, 1, "cat"], [2, 2, "dog"], [255, 255, "ignore"]]
    assert classes.values.tolist() == rows
    assert datasets.read_lists(folder).scored == {"train_aug": ["x"], "train": ["x"], "val": ["w"]}
    assert datasets.read_lists(folder).classes == ("cat", "dog")


def test_index_and_classes_survive_the_csv(folder, tmp_path):
    root = tmp_path / "mine"
    write_image(root / "images/NA.jpg")
    write_labels(root, "NA,no;null", "x,1;no", header="image,labels")
    (root / "masks").rename(root / "away")
    table, classes = prepare({**folder, "val_fraction": 0.0})
    assert table["labels"].tolist() == ["no;null", "1;no"]
    table.to_csv(tmp_path / "index.csv", index=False)
    classes.to_csv(tmp_path / "classes.csv", index=False)
    pd.testing.assert_frame_equal(index.read_index(tmp_path / "index.csv"), table)
    read = index.read_classes(tmp_path / "classes.csv")
    assert read.names == ("1", "no", "null")
    assert [read.indices(labels) for labels in table["labels"]] == [[2, 3], [1, 2]]
    assert read.indices("null;1") == [1, 3]


def test_folder_order_of_classes_is_the_configs(folder):
    table, classes = prepare({**folder, "classes": ["dog", "cat"]})
    assert table["labels"][0] == "dog;cat"
    assert classes["name"].tolist() == ["background", "dog", "cat", "ignore"]


def test_folder_order_of_classes_is_that_of_classes_txt(folder, tmp_path):
    write(tmp_path / "mine/classes.txt", "dog\ncat\n")
    table, classes = prepare(folder)
    assert table["labels"][0] == "dog;cat"
    assert classes["name"].tolist() == ["background", "dog", "cat", "ignore"]
    assert tmp_path / "mine/classes.txt" in datasets.label_files(folder)
    assert prepare({**folder, "classes": ["cat", "dog"]})[0]["labels"][0] == "cat;dog"
    write(tmp_path / "mine/classes.txt", "dog\ncat\ndog\n")
    check_problem(folder, "classes.txt: 'dog' is listed twice", "remove one")
    write(tmp_path / "mine/classes.txt", "dog\n")
    check_problem(folder, "line 2: label 'cat' of 'x.jpg' is not a class", "add it to the classes")


def test_folder_takes_number_as_class(folder, tmp_path):
    write_labels(tmp_path / "mine", "x,1", "w,2", header="image,labels")
    table, _ = prepare({**folder, "classes": [1, 2], "val_fraction": 0.0})
    assert table["labels"].tolist() == ["1", "2"]


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbfimage,labels\nx.jpg,cat\nz,dog\n",
        b"image,labels\r\nx.jpg,cat\r\n\r\nz,dog\r\n",
        b'"labels","image"\n"cat","x.jpg"\n"dog", "z"\n',
        b"image, labels ,note\nx.jpg, cat ,\xc3\xa9t\xc3\xa9\nz,dog\n",
    ],
)
def test_folder_accepts_csv_of_spreadsheets(folder, tmp_path, raw):
    (tmp_path / "mine/labels.csv").write_bytes(raw)
    table, _ = prepare({**folder, "val_fraction": 0.0})
    assert table[["image", "labels"]].values.tolist() == [["x", "cat"], ["z", "dog"]]


def test_folder_class_names_with_spaces(folder, tmp_path):
    write_labels(tmp_path / "mine", "x,polar bear; dog", "z,dog", header="image,labels")
    table, _ = prepare({**folder, "val_fraction": 0.0})
    assert table["labels"].tolist() == ["dog;polar bear", "dog"]


def test_folder_ids_are_safe_file_names(folder, tmp_path):
    write_image(tmp_path / "mine/images/my dir/it's {1} été.v2.jpg")
    rows = ["my dir/it's {1} été.v2.jpg,cat", "x,cat"]
    write_labels(tmp_path / "mine", *rows, header="image,labels", encoding="utf-8")
    lists = datasets.read_lists({**folder, "val_fraction": 0.0}).images
    assert lists["train_aug"] == ["my_dir__it_s__1__été.v2", "x"]


def test_folder_images_straight_below_the_root(folder, tmp_path):
    root = tmp_path / "mine"
    for path in (root / "images").iterdir():
        path.rename(root / path.name)
    (root / "images").rmdir()
    assert prepare(folder)[0]["path"].tolist()[1] == f"{root}/cats/y.PNG"


@pytest.mark.parametrize(
    ("files", "lists"),
    [
        ({"train": "z\nx.jpg\n", "val": "cats/y.PNG\n"}, (["z", "x"], ["x"], ["cats__y"])),
        ({"train": "z\nx\n"}, (["z", "x"], ["x"], [])),
        ({"val": "z\n"}, (["x", "cats__y", "w"], ["x", "w"], ["z"])),
    ],
)
def test_folder_lists_win_over_split_column(folder, tmp_path, files, lists):
    for key, text in files.items():
        write(tmp_path / f"mine/{key}.txt", text)
    found = datasets.read_lists(folder).images
    assert (found["train_aug"], found["train"], found["val"]) == lists
    names = {path.name for path in datasets.label_files(folder)}
    assert names == {"labels.csv", *(f"{key}.txt" for key in files)}


def test_folder_list_of_scored_images(folder, tmp_path):
    write_mask(tmp_path / "mine/masks/z.png", [2])
    write(tmp_path / "mine/scored.txt", "z.webp\n")
    assert datasets.read_lists(folder).images["train"] == ["x", "z"]
    assert datasets.read_lists({**folder, "train": "scored"}).images["train"] == ["z"]
    write(tmp_path / "mine/scored.txt", "cats/y\nw\n")
    parts = ["dataset.train: 'cats__y' has no mask", "dataset.train: 'w' is not in train_aug"]
    check_problem({**folder, "train": "scored"}, *parts)


def test_folder_split_is_stable_when_images_are_added(tmp_path):
    root = tmp_path / "many"
    dataset = {"format": "folder", "root": str(root), "val_fraction": 0.25, "seed": 1}
    for number in range(400):
        write(root / f"image{number}.jpg", "")
    splits = {}
    for images in (200, 400):
        rows = [f"image{i},cat" for i in range(400 - images, 400)]
        write_labels(root, *rows, header="image,labels")
        splits[images] = datasets.read_lists(dataset).images["val"]
    assert [i for i in splits[400] if int(i[5:]) >= 200] == splits[200]
    of_100_to_399 = [i for i in splits[400] if len(i) == len("image100")]
    assert 45 <= len(of_100_to_399) <= 105  # 75 expected, standard deviation 7.5
    assert datasets.read_lists({**dataset, "seed": 2}).images["val"] != splits[400]
    assert datasets.read_lists({**dataset, "val_fraction": 0.0}).images["val"] == []


@pytest.mark.parametrize("is_there", [False, True])
def test_folder_without_masks_has_all_but_the_scores(folder, tmp_path, is_there):
    (tmp_path / "mine/masks").rename(tmp_path / "away")
    if is_there:
        (tmp_path / "mine/masks").mkdir()
    table, _ = prepare(folder)
    assert datasets.read_lists(folder).scored == {"train_aug": [], "train": [], "val": []}
    assert table["mask"].tolist() == [""] * 4
    assert table["train"].sum() == 0


@pytest.mark.parametrize(
    ("rows", "change", "parts"),
    [
        (["x,cat"], {"classes": ["cat", "ox"]}, ["no image of train_aug shows ox", "[cat]"]),
        (["x,Cta"], {"classes": ["cat"]}, ["line 2: label 'Cta'", "did you mean 'cat'?", "add it"]),
        (["x,cat", "z,"], {}, ["labels.csv, line 3: 'z' has no labels", "remove the row"]),
        (["x,cat", "x.jpg,cat"], {}, ["line 3: image 'x.jpg'", "'x' in line 2", "rename one"]),
        (["cats/y,cat", "cats__y,cat"], {}, ["line 3", "same id 'cats__y' as 'cats/y'", "rename"]),
        (["../x.jpg,cat"], {}, ["line 2: image '../x.jpg' is not a path below", "without .."]),
        (["/etc/x.jpg,cat"], {}, ["line 2: image '/etc/x.jpg' is not a path below", "relative"]),
        (["cats\\y.jpg,cat"], {}, ["line 2: image 'cats\\\\y.jpg' is not a path", "with /"]),
        ([",cat"], {}, ["line 2: image '' is not a path", "write it"]),
        (["x,cat", "v.jpg,cat"], {}, ["images: 0 images for 'v.jpg' of line 3", "add the file"]),
        (["x.png,cat"], {}, ["0 images for 'x.png' of line 2 (there: x.jpg)", "correct"]),
        (["x,cat,dog"], {}, ["line 2: 3 fields, the header has 2", "separate labels by ;"]),
        (['x,"cat'], {}, ["labels.csv: unexpected end of data", "close each quote"]),
        (["x,background"], {}, ["'background' cannot be the name of a class", "rename it"]),
        (["x," + ";".join(map(str, range(254)))], {}, ["254 classes", "hold 253", "merge"]),
        (["x,cat"], {"train_aug": "t.txt"}, ["t.txt: No such file", "set dataset.train_aug"]),
        (["x,cat"], {"images": "pics"}, ["pics: no such folder", "correct dataset.images"]),
        (["x,cat"], {"masks": "truth"}, ["truth: no such folder", "correct dataset.masks"]),
        (["z,cat"], {}, ["masks: no mask has the name of an image", "'z'", "rename them"]),
    ],
)
def test_folder_table_and_config_errors(folder, tmp_path, rows, change, parts):
    write_labels(tmp_path / "mine", *rows, header="image,labels")
    check_problem({**folder, "val_fraction": 0.0, **change}, *parts)


def test_a_class_of_val_alone_has_a_remedy_that_helps(folder, tmp_path):
    rows = ["x,cat,train", "w,cow,val"]
    write_labels(tmp_path / "mine", *rows)
    remedy = "or take it out of the labels, masks and classes of the others"
    problem = check_problem(folder, "no image of train_aug shows cow: add images", remedy)
    assert problem.count("\n") == 1  # there is no other
    write_labels(tmp_path / "mine", rows[0], "w,cat,val")
    write_mask(tmp_path / "mine/masks/x.png", [0, 1, 255])
    prepare(folder)


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
def test_folder_unreadable_table(folder, tmp_path, raw, parts):
    (tmp_path / "mine/labels.csv").write_bytes(raw)
    check_problem(folder, *parts)


@pytest.mark.parametrize(
    ("key", "text", "parts"),
    [
        ("train", "x\nv\n", ["train.txt: 'v' has no row in", "labels.csv: add one"]),
        ("train", "x\nx.jpg\n", ["train.txt: 'x' is listed twice", "remove one"]),
    ],
)
def test_folder_list_errors(folder, tmp_path, key, text, parts):
    write(tmp_path / f"mine/{key}.txt", text)
    check_problem(folder, *parts)


def test_folder_two_files_for_one_row(folder, tmp_path):
    write_image(tmp_path / "mine/images/w.jpg")
    check_problem(
        folder, "images: 2 images for 'w' of line 5 (there: w.bmp, w.jpg)", "correct its name"
    )


# --- pixels -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "name"),
    [("L", "a.png"), ("P", "a.png"), ("RGBA", "a.png"), ("CMYK", "a.jpg"), ("1", "a.png")],
)
def test_images_of_any_mode_are_read_as_rgb(folder, tmp_path, mode, name):
    write_image(tmp_path / "mine/images" / name, mode=mode)
    write_labels(tmp_path / "mine", f"{name},cat", "x,cat dog", header="image,labels")
    table, _ = prepare({**folder, "val_fraction": 0.0})
    image = index.read_image(table["path"][0])
    assert (image.dtype, image.shape, image.flags.writeable) == (np.uint8, (32, 40, 3), True)


def test_image_of_sixteen_bits_is_refused(folder, tmp_path):
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(tmp_path / "mine/images/cats/y.PNG")
    check_problem(folder, "cats/y.PNG: pixels of mode I;16", "8 bits")


def test_exif_orientation_is_not_applied(folder, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees to show
    write_image(tmp_path / "mine/images/x.jpg", exif=exif.tobytes())
    table, _ = prepare(folder)
    assert table.loc[0, ["height", "width"]].tolist() == [32, 40]
    assert index.read_image(table["path"][0]).shape == (32, 40, 3)


def test_read_image_names_the_broken_file(tmp_path):
    write(tmp_path / "broken.jpg", "no image")
    with pytest.raises(DatasetError, match=r"broken\.jpg: cannot be decoded"):
        index.read_image(tmp_path / "broken.jpg")


def test_read_mask_refuses_unlisted_value(folder, tmp_path):
    _, classes = prepare(folder)
    classes.to_csv(tmp_path / "classes.csv", index=False)
    write_mask(tmp_path / "mask.png", [0, 3])
    with pytest.raises(DatasetError, match=r"mask\.png: values \[3\] are no class"):
        index.read_classes(tmp_path / "classes.csv").read_mask(tmp_path / "mask.png")


def test_progress_counts_every_image(folder):
    seen = []
    index.prepare(folder, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
