"""COCO: regions by hand, overlaps, crowds, panoptic PNGs, and the folder made of them."""

import json
import os
import subprocess

import numpy as np
import pytest
from datasets_on_disk import inventory
from PIL import Image
from pycocotools import mask as rle
from seeds import ROOT
from workflow_runs import PROFILE, SNAKEMAKE

from psa_core.datasets import index
from psa_core.datasets.convert import coco
from psa_core.datasets.formats.source import DatasetError


def region(number, category, segmentation, crowd=0, image=1):
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": segmentation,
        "iscrowd": crowd,
    }


def rectangle(left, top, right, bottom):
    return [[left, top, right, top, right, bottom, left, bottom]]


# --- masks of instances ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 0, 2, 0, 2, 2, 1, 2]],  # x, y, x, y, ...: column 1, rows 0 and 1
        {"size": [3, 4], "counts": [3, 2, 7]},  # down the columns: 3 out, 2 in, 7 out
        {"size": [3, 4], "counts": "327"},  # the same as text: 5 bits and a flag a character
    ],
)
def test_region_of_each_notation(segmentation):
    mask = coco.instance_mask([region(1, 44, segmentation)], (3, 4), {44: 7})
    assert mask.dtype == np.uint8
    assert mask.tolist() == [[0, 7, 0, 0], [0, 7, 0, 0], [0, 0, 0, 0]]


def test_text_is_read_as_pycocotools_reads_it():
    """Whose text has differences to earlier numbers, of either sign and of several characters."""
    generator = np.random.default_rng(0)
    for density in (0.002, 0.5, 0.98):
        region_of_chance = generator.random((60, 80)) < density
        text = rle.encode(np.asfortranarray(region_of_chance.astype(np.uint8)))["counts"].decode()
        found = region(1, 1, {"size": [60, 80], "counts": text})
        assert (coco.instance_mask([found], (60, 80), {1: 1}) == region_of_chance).all()


@pytest.mark.parametrize(
    ("counts", "pixels"), [([3, 2, 6], 11), ([3, 2, 8], 13), ("324", 9), ([], 0), ([14, -2], 12)]
)
def test_run_lengths_of_another_size_are_refused(counts, pixels):
    found = region(9, 44, {"size": [3, 4], "counts": counts})
    with pytest.raises(ValueError, match=rf"annotation 9: run .* {pixels} pixels, .* 3 x 4"):
        coco.instance_mask([found], (3, 4), {44: 7})


def test_an_object_of_several_polygons_is_one_region():
    two = rectangle(0, 0, 1, 1) + rectangle(2, 1, 4, 2)
    mask = coco.instance_mask([region(1, 1, two)], (2, 4), {1: 1})
    assert mask.tolist() == [[1, 0, 0, 0], [0, 0, 1, 1]]


def test_the_smaller_lies_on_top_and_a_crowd_below_all():
    small = region(1, 10, rectangle(1, 0, 2, 2))  # 2 pixels
    large = region(2, 20, rectangle(0, 0, 3, 2))  # 6 pixels
    crowd = region(
        3, 10, {"size": [2, 5], "counts": [8, 1, 1]}, crowd=1
    )  # 1 pixel: row 0, column 4
    people = region(4, 10, {"size": [2, 5], "counts": [4, 4, 2]}, crowd=1)  # columns 2 and 3
    equal = region(5, 30, rectangle(1, 0, 2, 2))  # as large as the first, with a later id
    index = {10: 1, 20: 2, 30: 3}
    for annotations in ([small, large, crowd, people], [people, crowd, large, small]):
        mask = coco.instance_mask(annotations, (2, 5), index)
        assert mask.tolist() == [[2, 1, 2, 255, 255], [2, 1, 2, 255, 0]]
    mask = coco.instance_mask([equal, small, large], (2, 5), index)
    assert mask.tolist() == [[2, 3, 2, 0, 0]] * 2


# --- panoptic -------------------------------------------------------------------------------------


def segment(number, category, crowd=0):
    return {"id": number, "category_id": category, "iscrowd": crowd}


def test_panoptic_ids_are_red_green_blue_from_the_lowest(tmp_path):
    # 3 + 2 * 256 + 1 * 65536 = 66051; 0 + 1 * 256 = 256; 5; 200 * 65536 = 13107200; 0 is unlabelled
    pixels = [[(3, 2, 1), (0, 1, 0), (5, 0, 0)], [(0, 0, 0), (0, 0, 200), (3, 2, 1)]]
    Image.fromarray(np.array(pixels, np.uint8)).save(tmp_path / "a.png")
    segments = [segment(66051, 90), segment(256, 91), segment(5, 1), segment(13107200, 1, crowd=1)]
    mask = coco.panoptic_mask(tmp_path / "a.png", segments, {1: 1, 90: 80})  # 91 is stuff
    assert mask.dtype == np.uint8
    assert mask.tolist() == [[80, 0, 1], [255, 255, 80]]
    with pytest.raises(DatasetError, match=r"a\.png: segments \[5\] are not in its JSON"):
        coco.panoptic_mask(tmp_path / "a.png", [s for s in segments if s["id"] != 5], {})


# --- the folder -----------------------------------------------------------------------------------

# Ids are not in order, and their order is not the alphabet's.
CATEGORIES = [{"id": 90, "name": "apple"}, {"id": 3, "name": "traffic light"}]
SIZE = {"height": 40, "width": 48}


def write_json(path, **content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def root(tmp_path):
    """Train: 1 both classes, 2 an apple, 3 nothing. Val: 4 a traffic light."""
    for image, folder in enumerate(("train2017",) * 3 + ("val2017",), start=1):
        (tmp_path / folder).mkdir(exist_ok=True)
        Image.new("RGB", (48, 40)).save(tmp_path / f"{folder}/{image:012}.jpg")
    images = [{"id": i, "file_name": f"{i:012}.jpg", **SIZE} for i in range(1, 5)]
    objects = [
        region(1, 90, rectangle(0, 0, 48, 20), image=2),
        region(2, 90, rectangle(10, 0, 20, 20), image=1),
        region(3, 3, {"size": [40, 48], "counts": [0, 40, 1880]}, image=1, crowd=1),
        region(4, 3, rectangle(0, 0, 48, 40), image=4),
    ]
    for split, some in (("train", slice(3)), ("val", slice(3, 4))):
        write_json(
            tmp_path / f"annotations/instances_{split}2017.json",
            categories=CATEGORIES,
            images=images[some],
            annotations=objects[some],
        )
    return tmp_path


def splits(kind="instances"):
    return {
        split: {"images": f"{split}2017", "annotations": f"annotations/{kind}_{split}2017.json"}
        for split in ("train", "val")
    }


def check_folder(root):
    """The folder is read with COCO's classes, in the order of their ids."""
    dataset = {"format": "folder", "root": str(root), "shards": 1}
    data = inventory(dataset)
    train, val = [f"train2017__{i:012}" for i in (1, 2)], ["val2017__000000000004"]
    assert data.images == {"train_aug": train, "train": train, "val": val, "test": []}
    assert data.scored == {"train_aug": train, "train": train, "val": val}
    assert data.classes == ("traffic light", "apple")
    table = index.describe_images(dataset, train + val)
    assert table["labels"].tolist() == ["traffic light;apple", "apple", "traffic light"]
    first, second, third = (mask for _, mask in index.read_masks(dataset, train + val))
    assert [np.unique(first[:, column]).tolist() for column in (0, 5, 15)] == [[255], [0], [0, 2]]
    assert np.unique(second[:20]).tolist() == [2]
    assert np.unique(second[20:]).tolist() == [0]
    assert np.unique(third).tolist() == [1]


def test_instances_by_the_workflow(root):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [SNAKEMAKE[0], "--snakefile", str(ROOT / "workflow/coco.smk"), "--cores", "1"]
    command += ["--directory", str(root), "--config", f"root={root}"]
    command += PROFILE
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "train: 2 of 3 images show a thing" in (root / "convert_coco.log").read_text()
    check_folder(root)


def test_panoptic_gives_the_same_folder(root):
    things = [{**each, "isthing": 1} for each in CATEGORIES]
    categories = [*things, {"id": 100, "name": "sky", "isthing": 0}]
    for split, ids in (("train", (1, 2, 3)), ("val", (4,))):
        annotations = []
        for image in ids:
            segments = np.full((40, 48), 7)  # sky
            if image == 1:
                segments[:20, 10:20], segments[:, 0] = 300, 70000
            if image in (2, 4):
                segments[: 20 * (image // 2)] = 300
            pixels = np.stack([segments % 256, segments // 256 % 256, segments // 65536], 2)
            path = root / f"annotations/panoptic_{split}2017/{image}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
            found = [segment(7, 100), segment(300, 3 if image == 4 else 90)]
            found = [each for each in found if each["id"] in segments]
            found += [segment(70000, 3, crowd=1)] if image == 1 else []
            annotations.append({"image_id": image, "file_name": path.name, "segments_info": found})
        write_json(
            root / f"annotations/panoptic_{split}2017.json",
            categories=categories,
            images=[{"id": i, "file_name": f"{i:012}.jpg", **SIZE} for i in ids],
            annotations=annotations,
        )
    coco.convert(root, splits("panoptic"))
    check_folder(root)


def test_names_of_two_words_stay_whole_where_no_image_has_two_labels(root):
    coco.convert(root, {"val": splits()["val"]})
    assert (root / "labels.csv").read_text().splitlines()[1] == (
        "val2017/000000000004.jpg,traffic light;,val"
    )


def test_splits_of_other_classes_are_refused(root):
    path = root / "annotations/instances_val2017.json"
    path.write_text(path.read_text().replace("apple", "pear"))
    with pytest.raises(DatasetError, match=r"instances_val2017\.json: its classes differ"):
        coco.convert(root, splits())


def test_hostile_names_are_refused(root):
    path = root / "annotations/instances_val2017.json"
    path.write_text(path.read_text().replace('"000000000004.jpg"', '"../../../evil.jpg"'))
    with pytest.raises(DatasetError, match=r"'val2017/\.\./\.\./\.\./evil\.jpg' is not below"):
        coco.convert(root, splits())


def test_an_annotation_of_another_image_is_named_with_its_file(root):
    path = root / "annotations/instances_train2017.json"
    path.write_text(path.read_text().replace("1880", "1879"))
    with pytest.raises(DatasetError, match=r"instances_train2017\.json: annotation 3: run lengths"):
        coco.convert(root, splits())


def change(root, split, **changes):
    """Replace lists of an instances JSON by what functions make of them."""
    path = root / f"annotations/instances_{split}2017.json"
    content = json.loads(path.read_text())
    content |= {key: function(content[key]) for key, function in changes.items()}
    path.write_text(json.dumps(content))


def test_an_annotation_of_an_unknown_category_is_named(root):
    change(root, "train", annotations=lambda all_: [{**a, "category_id": 77} for a in all_])
    message = r"instances_train2017\.json: annotation 1 of image 2 has the category id 77, which is"
    with pytest.raises(DatasetError, match=message):
        coco.convert(root, splits())


@pytest.mark.parametrize("segmentation", [None, [], [[]], [[1, 1, 9, 9]]])
def test_an_object_with_a_box_alone_is_a_label_without_mask(root, segmentation):
    def edit(annotations):
        return [{**a, "segmentation": segmentation} if a["id"] == 2 else a for a in annotations]

    change(root, "train", annotations=edit)
    coco.convert(root, splits())
    rows = (root / "labels.csv").read_text().splitlines()
    assert rows[1] == "train2017/000000000001.jpg,traffic light;apple;,train"
    masks = sorted(path.stem for path in (root / "masks").rglob("*.png"))
    assert masks == ["000000000002", "000000000004"]


def test_an_image_without_size_has_labels_but_no_mask(root):
    change(root, "val", images=lambda images: [{"id": 4, "file_name": images[0]["file_name"]}])
    coco.convert(root, splits())
    assert not (root / "masks/val2017").exists()
    assert "val2017/000000000004.jpg,traffic light;,val" in (root / "labels.csv").read_text()


def test_stuff_in_instances_and_a_category_that_only_groups_are_no_classes(root):
    def grouped(categories):
        group = {"id": 0, "name": "signs and food", "supercategory": "none"}
        stuff = {"id": 99, "name": "sky", "isthing": 0}
        return [group, stuff, *({**c, "supercategory": group["name"]} for c in categories)]

    sky = region(9, 99, rectangle(0, 0, 48, 40), image=2)
    for split in ("train", "val"):
        change(root, split, categories=grouped)
    change(root, "train", annotations=lambda annotations: [*annotations, sky])
    coco.convert(root, splits())
    check_folder(root)


@pytest.mark.parametrize(
    ("text", "message"),
    [("<html>", "not JSON"), ("[]", "lacks a list of categories, images, annot"), ("{}", "lacks")],
)
def test_files_that_are_no_annotations(root, text, message):
    (root / "annotations/instances_val2017.json").write_text(text)
    with pytest.raises(DatasetError, match=rf"instances_val2017\.json: {message}"):
        coco.convert(root, splits())
