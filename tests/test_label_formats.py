"""The same images and tags in each format of labels give the same data set, byte for byte."""

import csv
import json

import pytest
from datasets_on_disk import inventory, write_folder, write_labels, write_text

from psa_core.datasets import formats

# In the order of the images' names, as an annotation tool lists them.
TAGS = {"cats/y.PNG": ["cat"], "w.bmp": ["cat"], "x.jpg": ["cat", "dog"], "z.webp": ["dog"]}
CLASSES = ["cat", "dog"]


def write_csv(root):
    write_labels(root, *(f"{n},{';'.join(t)}" for n, t in TAGS.items()), header="image,labels")
    return "labels.csv"


def write_multihot(root):
    rows = [[name, *(int(each in tags) for each in CLASSES)] for name, tags in TAGS.items()]
    with open(root / "hot.csv", "w", newline="") as file:
        csv.writer(file).writerows([["filename", *CLASSES], *rows])
    return "hot.csv"


def write_coco(root):
    """Without outlines, and with a category that only groups the others, as Roboflow writes it."""
    categories = [
        {"id": 0, "name": "animals", "supercategory": "none"},
        {"id": 1, "name": "cat", "supercategory": "animals"},
        {"id": 2, "name": "dog", "supercategory": "animals"},
    ]
    images = [
        {"id": 10 + i, "license": 1, "file_name": name, "height": 32, "width": 40}
        for i, name in enumerate(TAGS)
    ]
    pairs = [(i, each) for i, tags in enumerate(TAGS.values()) for each in tags]
    annotations = [
        {
            "id": number,
            "image_id": 10 + i,
            "category_id": 1 + CLASSES.index(each),
            "bbox": [1, 2, 10, 10],
            "area": 100,
            "segmentation": [],
            "iscrowd": 0,
        }
        for number, (i, each) in enumerate(pairs)
    ]
    content = {"info": {"year": "2026"}, "licenses": [], "categories": categories}
    write_text(
        root / "_annotations.coco.json",
        json.dumps({**content, "images": images, "annotations": annotations}),
    )
    return "_annotations.coco.json"


CVAT_TASK = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>4</id>
      <name>animals</name>
      <labels>
        <label><name>dog</name><color>#c06060</color><type>any</type><attributes></attributes></label>
        <label><name>cat</name><color>#33ddff</color><type>any</type><attributes></attributes></label>
        <label><name>cow</name><color>#fafa37</color><type>any</type><attributes></attributes></label>
      </labels>
    </task>
  </meta>
{images}</annotations>
"""
CVAT_SHAPES = {
    "cat": '    <tag label="cat" source="manual">\n    </tag>\n',
    "dog": '    <polygon label="dog" source="manual" occluded="0" points="1.0,2.0;9.5,2.0;9.5,8.0" '
    'z_order="0">\n      <attribute name="age">3</attribute>\n    </polygon>\n',
}


def write_cvat(root):
    images = "".join(
        f'  <image id="{i}" name="{name}" width="40" height="32">\n'
        + "".join(CVAT_SHAPES[each] for each in tags)
        + "  </image>\n"
        for i, (name, tags) in enumerate(TAGS.items())
    )
    write_text(root / "annotations.xml", CVAT_TASK.replace("{images}", images))
    return "annotations.xml"


def write_label_studio(root):
    """Each tag by an annotator of its own."""
    tasks = []
    for number, (name, tags) in enumerate(TAGS.items(), start=1):
        results = [
            {
                "value": {"choices": [each]},
                "id": f"r{each}",
                "from_name": "choice",
                "to_name": "image",
                "type": "choices",
                "origin": "manual",
            }
            for each in tags
        ]
        annotations = [
            {"id": i, "completed_by": i, "result": [r], "was_cancelled": False, "task": number}
            for i, r in enumerate(results)
        ]
        address = f"/data/local-files/?d=photos/{name}"
        tasks.append({"id": number, "annotations": annotations, "data": {"image": address}})
    write_text(root / "project-1-at-2026-01-02.json", json.dumps(tasks))
    return "project-1-at-2026-01-02.json"


def write_voc_xml(root):
    """As LabelImg writes it."""
    for name, tags in TAGS.items():
        objects = "".join(
            f"<object><name>{each}</name><pose>Unspecified</pose><truncated>0</truncated><bndbox>"
            "<xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object>"
            for each in tags
        )
        text = f"<annotation><filename>{name}</filename>{objects}</annotation>"
        write_text(root / f"boxes/{name.rpartition('.')[0]}.xml", text)
    return "boxes"


WRITERS = [write_multihot, write_coco, write_cvat, write_label_studio, write_voc_xml]


@pytest.fixture
def folder(tmp_path):
    """Lists in place of the column split, which the tools' formats do not have."""
    dataset = write_folder(tmp_path / "mine")
    (tmp_path / "mine/labels.csv").unlink()
    write_text(tmp_path / "mine/train.txt", "x\ncats/y\nz\n")
    write_text(tmp_path / "mine/val.txt", "w\n")
    return dataset


def described(dataset):
    """All that later stages depend on."""
    data = inventory(dataset)
    shards = data.shards("train_aug", "val")
    kinds = ("images", "masks")
    digests = {(shard, kind): data.digest(shard, kind) for shard in shards for kind in kinds}
    return formats.read(dataset), data.images, data.classes, digests


@pytest.mark.parametrize("write", WRITERS)
def test_a_format_gives_the_same_as_the_csv(folder, tmp_path, write):
    expected = described({**folder, "labels": write_csv(tmp_path / "mine")})
    assert expected[0].labels == {
        "cats__y": ["cat"],
        "w": ["cat"],
        "x": ["cat", "dog"],
        "z": ["dog"],
    }
    assert expected[0].names == ("cat", "dog")
    assert expected[0].problems == []
    (tmp_path / "mine/labels.csv").unlink()
    assert described({**folder, "labels": write(tmp_path / "mine")}) == expected


@pytest.mark.parametrize("write", WRITERS)
def test_an_edited_file_changes_the_digest_of_its_images_alone(
    folder, tmp_path, write, monkeypatch
):
    before = described({**folder, "labels": write(tmp_path / "mine")})[-1]
    monkeypatch.setitem(TAGS, "z.webp", ["cat", "dog"])
    after = described({**folder, "labels": write(tmp_path / "mine")})[-1]
    z = inventory({**folder, "labels": write(tmp_path / "mine")}).shard_of("z")
    assert [key for key in before if before[key] != after[key]] == [(z, "images")]
