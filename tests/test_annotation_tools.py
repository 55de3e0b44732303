"""Labels of annotation tools: what counts as a label, and what is refused with its place."""

import json
import os
import shutil

import pytest
from datasets_on_disk import annotation, check_problem, write_folder, write_text

from psa_core.datasets import formats


@pytest.fixture
def root(tmp_path):
    return tmp_path / "mine"


@pytest.fixture
def folder(root):
    dataset = {**write_folder(root), "val_fraction": 0.0}
    (root / "labels.csv").unlink()
    shutil.rmtree(root / "masks")
    return dataset


@pytest.fixture
def read(folder, root):
    """Write a file of labels, text or JSON, and read the data set with it."""

    def read(name, content, **change):
        text = content if isinstance(content, str) else json.dumps(content)
        write_text(root / name, text)
        source = formats.read({**folder, **change, "labels": name})
        assert source.problems == []
        return source

    return read


@pytest.fixture
def refused(folder, root):
    """Write a file of labels that is to be refused."""

    def check(name, content, *parts, **change):
        text = content if isinstance(content, str) else json.dumps(content)
        write_text(root / name, text)
        return check_problem({**folder, **change, "labels": name}, *parts)

    return check


# --- COCO -----------------------------------------------------------------------------------------


def coco(images, annotations, categories):
    """COCO's JSON of {id: name} and (image, category) pairs."""
    return {
        "images": [{"id": i, "file_name": name} for i, name in images.items()],
        "annotations": [
            {"id": i, "image_id": image, "category_id": category, "bbox": [1, 2, 3, 4]}
            for i, (image, category) in enumerate(annotations)
        ],
        "categories": [{"id": i, "name": name} for i, name in categories.items()],
    }


def test_coco_classes_are_in_the_order_of_their_ids(read):
    pairs = [(1, 3), (1, 7), (1, 3), (2, 3)]
    source = read("a.json", coco({1: "x.jpg", 2: "z.webp"}, pairs, {7: "cat", 3: "dog"}))
    assert source.names == ("dog", "cat")
    assert source.labels == {"x": ["dog", "cat"], "z": ["dog"]}


def test_coco_panoptic_segments_and_stuff(read):
    categories = [{"id": 1, "name": "cat", "isthing": 1}, {"id": 2, "name": "sky", "isthing": 0}]
    segments = [{"id": 9, "category_id": 1}, {"id": 8, "category_id": 2}]
    content = coco({5: "x.jpg"}, [], {}) | {"categories": categories}
    content["annotations"] = [
        {"image_id": 5, "file_name": "x.png", "segments_info": [each]} for each in segments
    ]
    assert read("panoptic.json", content).labels == {"x": ["cat"]}


def test_coco_panoptic_annotation_without_segments_of_an_unknown_image(refused):
    content = coco({1: "x.jpg"}, [], {1: "cat"})
    content["annotations"] = [{"image_id": 9, "file_name": "y.png", "segments_info": []}]
    refused("a.json", content, "a.json: annotation 'y.png' names the image 9, which is not in its")


def test_coco_ids_of_several_categories_are_refused_and_repetitions_are_not(read, refused):
    content = coco({1: "x.jpg"}, [(1, 1)], {1: "cat"})
    content["categories"].append({"id": 1, "name": "cat"})
    assert read("a.json", content).names == ("cat",)
    content["categories"].append({"id": 1, "name": "dog"})
    refused("a.json", content, "a.json: the category id 1 has the names 'cat', 'dog': give each")


def test_coco_ids_are_shown_as_they_are_in_the_file(refused):
    content = coco({"\ud800": "z.jpg"}, [("\ud800", 7)], {1: "cat"})
    content["annotations"][0]["id"] = "\ud800"
    message = refused(
        "a.json", content, "annotation '\\ud800' of image '\\ud800' has the category id"
    )
    assert "0 images for 'z.jpg' of image '\\ud800'" in message


def test_coco_categories_that_group_others_are_classes_where_they_label(read, refused):
    pairs = [(1, 0), (1, 1)]
    content = coco({1: "x.jpg"}, pairs, {0: "animal", 1: "cat"})
    content["categories"][1]["supercategory"] = "animal"
    assert read("a.json", content).names == ("animal", "cat")
    segments = [{"id": 7 + c, "category_id": c} for _, c in pairs]
    panoptic = [{"image_id": 1, "file_name": "x.png", "segments_info": segments}]
    assert read("a.json", content | {"annotations": panoptic}).names == ("animal", "cat")
    content = coco({1: "x.jpg"}, [(1, 1)], {1: "cat", 2: "cow"})
    content["categories"][1]["supercategory"] = "cow"  # is itself, and groups nothing
    refused("a.json", content, "no image of train_aug shows cow")


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"annotations": [(1, 4)]}, ["a.json: annotation 0 of image 1 has the category id 4"]),
        ({"annotations": [(1, 1), (9, 1)]}, ["a.json: annotation 1 names the image 9, which is"]),
        ({"annotations": [(1, 1), ("1", 1)]}, ["annotation 1 names the image '1', which is not"]),
        ({"categories": {1: "cat", 2: "cat"}}, ["a.json: several categories have the name 'cat'"]),
        ({"categories": {1: "cat", 2: "cow"}}, ["no image of train_aug shows cow"]),
        ({"categories": {1: "cat", 2: ""}}, ["'' cannot be the name of a class: it is empty"]),
        ({"images": {1: "x.jpg", 2: "z.webp"}}, ["a.json, image 2: 'z.webp' has no labels"]),
        ({"images": {1: "x.jpg", 2: "x.jpg"}}, ["image 2: image 'x.jpg' has the same id 'x' as"]),
        ({"images": {1: "images/x.jpg"}}, ["0 images for 'images/x.jpg' of image 1 (there: 'x.jp"]),
        ({"images": {1: "\ud800.jpg"}}, ["image '\\ud800.jpg' is not a path below the images"]),
        ({"categories": {1: "cat", 2: "a\0"}}, ["'a\\x00' cannot be the name of a class"]),
        ({"images": {1: 5}}, ["image 1 of the file: 'file_name' is missing, or is not what it"]),
    ],
)  # fmt: skip
def test_coco_files_that_are_refused(refused, change, parts):
    content = {"images": {1: "x.jpg"}, "annotations": [(1, 1)], "categories": {1: "cat"}}
    refused("a.json", coco(**{**content, **change}), *parts)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"annotations": [{"id": 1, "image_id": 1}]}, "annotation 1 of the file: 'category_id' is"),
        ({"annotations": [{"image_id": 1, "segments_info": []}]}, "annotation 1 of the file: 'fi"),
        ({"annotations": [5]}, "annotation 1 of the file: 'image_id' is missing"),
        (
            {"annotations": [{"image_id": 1, "file_name": "x.png", "segments_info": 5}]},
            "annotation 1 of the file: 'segments_info' is missing",
        ),
        ({"categories": [{"id": "1", "name": "cat"}]}, "category 1 of the file: 'id' is missing"),
        ({"categories": [{"id": 1}]}, "category 1 of the file: 'name' is missing"),
        ({"images": [{"file_name": "x.jpg"}]}, "image 1 of the file: 'id' is missing"),
        ({"images": [{"id": 1, "file_name": n} for n in ("x", "z")]}, "image 2 of the file: anoth"),
    ],
)  # fmt: skip
def test_coco_without_what_it_requires(refused, change, part):
    content = coco({1: "x.jpg"}, [(1, 1)], {1: "cat"}) | change
    refused("a.json", content, f"a.json, {part}", "export it again")


# --- CVAT -----------------------------------------------------------------------------------------


SHAPES = ("tag", "box", "polygon", "polyline", "points", "ellipse", "mask", "cuboid")


def cvat(*images):
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>{"".join(images)}</annotations>'


def test_cvat_tags_and_all_shapes_are_labels(read):
    shapes = "".join(
        f'<{shape} label="{shape}"><attribute name="label">old</attribute></{shape}>'
        for shape in SHAPES
    )
    skeleton = '<skeleton label="skeleton"><points label="head"></points></skeleton>'
    source = read("a.xml", cvat(f'<image id="0" name="x.jpg">{shapes}{skeleton}</image>'))
    expected = [
        "box",
        "cuboid",
        "ellipse",
        "mask",
        "points",
        "polygon",
        "polyline",
        "skeleton",
        "tag",
    ]
    assert source.labels == {"x": expected}


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (cvat('<track id="0" label="cat"></track>'), ["tracks of a video", "CVAT for images 1.1"]),
        (cvat('<image id="7"></image>'), ["a.xml, image 7: it has no name"]),
        (cvat('<image name="x.jpg"/>', "<image/>"), ["a.xml, image 1: it has no name"]),
        (cvat('<image id="7" name="x.jpg"></image>'), ["a.xml, image 7: 'x.jpg' has no labels"]),
        (cvat('<image id="7" name="x.jpg"><tag/></image>'), ["image 7: 'x.jpg' has no labels"]),
        (cvat(), ["a.xml: it has no images"]),
        (cvat("<image>"), ["a.xml: not XML (mismatched tag"]),
        ("<html><p>404</p></html>", ["a.xml: XML with <html>: labels are read from a csv"]),
        ("<!doctype html><p>", ["a.xml: an HTML page: the download went wrong"]),
        (annotation("cat"), ["<annotation> of one image: set dataset.labels to its folder"]),
    ],
)
def test_cvat_files_that_are_refused(refused, content, parts):
    refused("a.xml", content, *parts)


def test_xml_in_another_encoding(read, folder, root):
    text = cvat('<image id="0" name="x.jpg"><tag label="été"/></image>').replace("utf-8", "latin-1")
    (root / "a.xml").write_bytes(text.encode("latin-1"))
    assert formats.read({**folder, "labels": "a.xml"}).labels == {"x": ["été"]}


# --- Label Studio ---------------------------------------------------------------------------------


def task(number, address, *annotations, cancelled=(), text=False):
    """A task; each annotation is a list of (type, label). text: no list around the label."""
    made = [
        {
            "id": i,
            "was_cancelled": i in cancelled,
            "result": [
                {"type": kind, "value": {kind: label if text else [label]}, "to_name": "image"}
                for kind, label in results
            ],
        }
        for i, results in enumerate(annotations)
    ]
    return {"id": number, "annotations": made, "predictions": [], "data": {"image": address}}


def test_label_studio_takes_the_union_of_the_annotators(read):
    first, second = [("choices", "cat"), ("rectanglelabels", "dog")], [("brushlabels", "cow")]
    third = [("polygonlabels", "never")]
    tasks = [task(4, "/data/upload/1/1a2b3c4d-x.jpg", first, second, third, cancelled=[2])]
    assert read("a.json", tasks).labels == {"x": ["cat", "cow", "dog"]}


def test_label_studio_taxonomy_and_results_without_labels(read):
    path = ["animal", "mammal", "cat"]
    results = [("textarea", "a note"), ("taxonomy", path), ("taxonomy", "dog")]
    tasks = [task(4, "x.jpg", results)]
    tasks[0]["annotations"][0]["result"] += [
        5,
        {"type": "relation", "from_id": "1"},
        {"type": ["choices"]},
    ]
    assert read("a.json", tasks).labels == {"x": ["cat", "dog"]}


def test_label_studio_takes_the_image_of_several_files(read):
    tasks = [task(1, "x.jpg", [("choices", "cat")])]
    tasks[0]["data"] = {"mask": "a/x.png", "note": "good", **tasks[0]["data"], "map": "x.tif"}
    assert read("a.json", tasks).labels == {"x": ["cat"]}
    tasks[0]["data"] = {"note": "good", "photo": "z.webp"}
    assert read("a.json", tasks).labels == {"z": ["cat"]}


def test_label_studio_tasks_that_nobody_labelled_are_left_out(read):
    labelled, none = task(1, "x.jpg", [("choices", "cat")]), task(2, "z.webp")
    skipped = task(3, "w.bmp", [], cancelled=[0])
    source = read("a.json", [none, skipped, labelled], negatives=True)
    assert source.labels == {"x": ["cat"]}
    empty = task(2, "z.webp", [])  # submitted without a label
    assert read("a.json", [labelled, empty], negatives=True).labels == {"x": ["cat"], "z": []}


@pytest.mark.parametrize(
    "address",
    [
        "/data/upload/1/1a2b3c4d-y.PNG",
        "/data/local-files/?d=photos%2Fcats/y.PNG",
        "/data/local-files/?d=photos/cats/1a2b3c4d-y.PNG",
        "s3://bucket/photos/cats/y.PNG",
        "https://example.org/photos/cats/y.PNG?token=1",
        "cats/y.PNG",
    ],
)
def test_label_studio_images_by_the_end_of_their_address(read, root, address):
    if "upload" in address:
        (root / "images/cats/y.PNG").rename(root / "images/y.PNG")
    source = read("a.json", [task(1, address, [("choices", "cat")])])
    assert [path.rpartition("/")[2] for path in source.images.values()] == ["y.PNG"]


def test_label_studio_files_with_the_prefix_of_the_upload(read, root):
    (root / "images/z.webp").rename(root / "images/1a2b3c4d-z.webp")
    (root / "images/cats/y.PNG").rename(root / "images/cats/1a2b3c4d-y.PNG")
    addresses = "/data/upload/1/1a2b3c4d-z.webp", "s3://bucket/cats/1a2b3c4d-y.PNG"
    tasks = [task(i, address, [("choices", "cat")]) for i, address in enumerate(addresses)]
    assert list(read("a.json", tasks).images) == ["1a2b3c4d-z", "cats__1a2b3c4d-y"]


def test_label_studio_images_above_the_folder_are_not_found(refused, root):
    write_text(root / "v.jpg", "")
    refused("a.json", [task(1, "/data/../v.jpg", [("choices", "cat")])], "0 images for 'v.jpg'")


@pytest.mark.parametrize(
    ("tasks", "parts"),
    [
        ([task(9, "/data/upload/1/1a2b3c4d-v.jpg", [("choices", "cat")])], ["'v.jpg' of task 9"]),
        (
            [task(i, f"a{i}/x.jpg", [("choices", "cat")]) for i in (1, 2)],
            ["task 2: image 'x.jpg' has the same id 'x' as 'x.jpg' in task 1"],
        ),
        ([task(3, "some text", [("choices", "cat")])], ["task 3: 0 names of images in its data"]),
        ([task(3, "x.jpg", [("choices", 5)])], ["a.json, task 3: choices: 5 is not a label"]),
        ([task(3, "x.jpg", [("choices", "cat")], text=True)], ["task 3: 'choices' is missing, or"]),
        ([task(3, "http://[x.gif", [])], ["'[x.gif' of task 3"]),
        ([task(3, "x.jpg", []), 5], ["task 2: 'annotations' is missing"]),
        ([task(3, "x.jpg", []) | {"data": 5}], ["a.json, task 3: 'data' is missing"]),
        ([{"data": {}, "annotations": 5}], ["a.json, task 1: 'annotations' is missing"]),
        ([task(3, "x.jpg") | {"annotations": [5]}], ["a.json, task 3: 'result' is missing"]),
        (
            [task(3, "x.jpg") | {"annotations": [{"result": [{"type": "choices"}]}]}],
            ["a.json, task 3: 'value' is missing"],
        ),
        ([task(3, "x.jpg", [("choices", ["cat"])])], ["task 3: choices: ['cat'] is not a label"]),
        (
            [task(3, "a", []) | {"data": {"a": "x.jpg", "b": "z.webp"}}],
            ["a.json, task 3: 2 names of images in its data, not one"],
        ),
        ([{"image": "x.jpg", "id": 1, "choice": "cat"}], ["nor Label Studio's", "not JSON-MIN"]),
    ],
)
def test_label_studio_files_that_are_refused(refused, tasks, parts):
    refused("a.json", tasks, *parts, negatives=True)


# --- VOC's XML with classes of one's own ----------------------------------------------------------


def test_voc_files_lie_as_their_images_do(folder, root):
    write_text(root / "xml/cats/y.xml", annotation("zebra", "my cat", "zebra"))
    write_text(root / "xml/x.xml", annotation("zebra"))
    for other in ("notes.txt", "._x.xml"):
        write_text(root / "xml" / other, "")
    source = formats.read({**folder, "labels": "xml"})
    assert source.problems == []
    assert source.labels == {"cats__y": ["my cat", "zebra"], "x": ["zebra"]}


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("<annotation><object>", ["xml/x.xml: no element found", "restore it"]),
        (cvat(), ["xml/x.xml: <annotations>, but VOC's files have <annotation>"]),
        (annotation(), ["xml, x.xml: 'x' has no labels", "dataset.negatives: true"]),
        ("<annotation><object><pose/></object></annotation>", ["'' cannot be the name of a class"]),
    ],
)
def test_voc_files_that_are_refused(folder, root, content, parts):
    write_text(root / "xml/x.xml", content)
    check_problem({**folder, "labels": "xml"}, *parts)


def test_voc_files_that_cannot_be_opened(folder, root):
    (root / "xml").mkdir()
    os.mkfifo(root / "xml/x.xml")
    (root / "xml/z.xml").symlink_to("gone.xml")
    parts = ["x.xml: a pipe, not a file: restore it", "z.xml: No such file or directory: restore"]
    check_problem({**folder, "labels": "xml"}, *parts)


def test_a_folder_without_xml(folder, root):
    (root / "xml").mkdir()
    check_problem({**folder, "labels": "xml"}, "xml: a folder without .xml files: add VOC's")


# --- content and name -----------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["", "\ufeff", " \n"])
def test_the_content_decides_how_a_file_is_read(read, folder, root, start):
    content = coco({1: "x.jpg"}, [(1, 1)], {1: "cat"})
    tasks = [task(1, "x.jpg", [("choices", "cat")])]
    for form in (content, tasks):
        assert read("a.txt", start + json.dumps(form)).labels == {"x": ["cat"]}
    text = cvat('<image id="0" name="x.jpg"><tag label="cat"/></image>')
    assert read("a.txt", text).labels == {"x": ["cat"]}
    (root / "a.txt").write_bytes(text.replace("utf-8", "utf-16").encode("utf-16"))
    assert formats.read({**folder, "labels": "a.txt"}).labels == {"x": ["cat"]}


# --- files of no known form -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.json", '{"x.jpg": ["cat"]}', ["a.json: JSON, but neither COCO's", "a csv (image"]),
        ("a.json", "[]", ["neither COCO's"]),
        ("a.json", "cat", ["a.json: not JSON ("]),
        ("a.xml", "cat", ["a.xml: not XML ("]),
        ("a.json", '{"images": []', ["a.json: not JSON (", "export it again"]),
        ("a.json", "[" * 100_000, ["a.json: not JSON ("]),
        ("a.yaml", "x.jpg: cat\n", ["a.yaml: YAML, of which", "labels are read from a csv"]),
        ("a.xlsx", "PK\x03\x04 zip", ["an archive or a spreadsheet"]),
        ("a.yml", "x.jpg: cat\n", ["a.yml: YAML, of which"]),
        ("gone.json", None, ["gone.json: No such file", "set dataset.labels"]),
        ("gone.xml", None, ["gone.xml: No such file", "set dataset.labels"]),
    ],
)  # fmt: skip
def test_other_files_are_refused_with_the_forms_that_are_read(folder, root, name, content, parts):
    if content is not None:
        write_text(root / name, content)
    check_problem({**folder, "labels": name}, *parts)


def test_a_pickle_is_not_opened(folder, root):
    (root / "labels.pkl").write_bytes(b"\x80\x04\x95")
    check_problem({**folder, "labels": "labels.pkl"}, "labels.pkl: a pickle, which may run code")
