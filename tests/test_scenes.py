"""The built-in scenes: the same for everybody, and labelled as VOC labels."""

from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from psa_core.datasets import scenes
from psa_core.datasets.scenes import characters, generate, paper

# Indices in VOC 2012, from its devkit.
VOC_INDEX = {"cat": 8, "cow": 10, "dog": 12, "horse": 13, "person": 15, "sheep": 17}
NUMBER = 24


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes")
    generate.generate(root, train=18, val=6, seed=0)
    return root


@pytest.fixture(scope="module")
def written(root):
    """Name -> (image, mask, objects as (class, xmin, ymin, xmax, ymax))."""
    found = {}
    for path in sorted((root / "JPEGImages").iterdir()):
        tree = ElementTree.parse(root / "Annotations" / f"{path.stem}.xml")
        corners = [f"bndbox/{corner}" for corner in ("xmin", "ymin", "xmax", "ymax")]
        objects = [
            (item.findtext("name"), *(int(item.findtext(corner)) for corner in corners))
            for item in tree.iterfind("object")
        ]
        mask = Image.open(root / "SegmentationClass" / f"{path.stem}.png")
        found[path.stem] = Image.open(path), mask, objects
    return found


def labels_in(mask):
    return set(np.unique(np.array(mask)).tolist()) - {0, 255}


def test_names_tell_split_and_number():
    assert scenes.image_names(2, 1) == {
        "train_aug": ["scene_00001", "scene_00002"],
        "train": ["scene_00001", "scene_00002"],
        "val": ["scene_50001"],
    }


@pytest.mark.parametrize(("train", "val"), [(50_001, 1), (1, 50_001), (-1, 1)])
def test_impossible_numbers_are_refused(train, val):
    with pytest.raises(ValueError, match=f"train={train}, val={val}"):
        scenes.image_names(train, val)


def test_lists_name_the_files_written(root):
    names = scenes.image_names(18, 6)
    for split, members in names.items():
        lines = (root / f"ImageSets/Segmentation/{split}.txt").read_text().splitlines()
        assert lines == members
    for folder, suffix in (
        ("JPEGImages", "jpg"),
        ("SegmentationClass", "png"),
        ("Annotations", "xml"),
    ):
        written = {path.name for path in (root / folder).iterdir()}
        assert written == {f"{name}.{suffix}" for name in names["train"] + names["val"]}


def test_a_scene_depends_on_seed_and_number_alone(root, tmp_path):
    generate.generate(tmp_path / "fewer", train=2, val=1, seed=0)
    generate.generate(tmp_path / "other", train=2, val=1, seed=1)
    for name in ("scene_00001", "scene_00002", "scene_50001"):
        for file in (
            f"JPEGImages/{name}.jpg",
            f"SegmentationClass/{name}.png",
            f"Annotations/{name}.xml",
        ):
            assert (tmp_path / "fewer" / file).read_bytes() == (root / file).read_bytes()
            assert (tmp_path / "other" / file).read_bytes() != (root / file).read_bytes()


def test_sizes_are_those_of_the_annotations(root, written):
    for name, (image, mask, _) in written.items():
        size = ElementTree.parse(root / "Annotations" / f"{name}.xml").find("size")
        assert (
            image.size == mask.size == (int(size.findtext("width")), int(size.findtext("height")))
        )
        assert 160 <= min(image.size) < max(image.size) <= 192
    assert {image.width > image.height for image, _, _ in written.values()} == {True, False}


def test_masks_hold_exactly_the_annotated_classes(written):
    for _, mask, objects in written.values():
        assert mask.mode == "P"
        assert labels_in(mask) == {VOC_INDEX[name] for name, *_ in objects}


def test_masks_have_the_colours_of_voc(written):
    palette = written["scene_00001"][1].getpalette()
    published = {0: (0, 0, 0), 8: (64, 0, 0), 15: (192, 128, 128), 255: (224, 224, 192)}
    assert {i: tuple(palette[3 * i : 3 * i + 3]) for i in published} == published


def test_each_object_is_seen_within_its_box(written):
    for _, mask, objects in written.values():
        for name, xmin, ymin, xmax, ymax in objects:
            box = np.array(mask)[ymin - 1 : ymax, xmin - 1 : xmax]
            assert (box == VOC_INDEX[name]).sum() >= 250


def test_all_labelled_pixels_lie_in_boxes_of_their_class(written):
    for _, mask, objects in written.values():
        left = np.array(mask)
        for name, xmin, ymin, xmax, ymax in objects:
            box = left[ymin - 1 : ymax, xmin - 1 : xmax]
            box[box == VOC_INDEX[name]] = 0
        assert set(np.unique(left)) <= {0, 255}


def test_a_border_parts_different_labels(written):
    for _, mask, _ in written.values():
        mask = np.array(mask)
        for one, other in ((mask[1:], mask[:-1]), (mask[:, 1:], mask[:, :-1])):
            assert not ((one != other) & (one != 255) & (other != 255)).any()
        assert 0 < (mask == 255).mean() < 0.1


def test_each_class_is_in_a_sixth_of_the_images(written):
    images = [labels_in(mask) for _, mask, _ in written.values()]
    for index in VOC_INDEX.values():
        assert sum(index in labels for labels in images) >= NUMBER / 6


def test_progress_counts_all_scenes(tmp_path):
    calls = []
    generate.generate(tmp_path, train=1, val=1, seed=0, progress=lambda *call: calls.append(call))
    assert calls == [(1, 2), (2, 2)]


def square(left, top, side, **options):
    right, bottom = left + side, top + side
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    return paper.Sheet([(corners, np.array([1.0, 0.5, 0.0]))], relief=0, grain=0, **options)


@pytest.mark.parametrize(
    ("left", "hidden_rows", "seen"),
    [(10, 0, True), (-10, 0, False), (10, 10, False)],
    ids=["whole", "half cut off", "half hidden"],
)
def test_a_head_must_be_seen(left, hidden_rows, seen):
    sheets = [square(left, 10, 20, is_head=True)]
    instances = paper.silhouette(sheets, (40, 40)).astype(np.uint8)
    instances[: 10 + hidden_rows] = 0
    assert generate.is_seen(sheets, instances, 1) is seen


def test_paint_fills_its_outline_and_no_more():
    canvas = np.zeros((4, 6, 3), np.float32)
    paper.paint(canvas, square(1, 0, 2.5), np.random.default_rng(0), shadow=0)
    assert canvas[:2, 1:3] == pytest.approx(np.broadcast_to([1, 0.5, 0], (2, 2, 3)), abs=0.01)
    assert (canvas[:, [0, 4, 5]] == 0).all()
    assert (canvas[:2, 3, 0] > 0).all()  # half covered
    assert (canvas[:2, 3, 0] < 1).all()


@pytest.mark.parametrize("name", scenes.CLASSES)
def test_silhouettes_are_where_the_paint_is(name):
    rng = np.random.default_rng(0)
    sheets = [
        sheet.transformed(np.eye(2) * 100, np.array([100, 140]))
        for sheet in characters.draw(name, rng)
    ]
    coverage = 1 - np.prod(
        [1 - paper.rasterize(sheet.shapes, (180, 200))[0] for sheet in sheets], 0
    )
    inside, mask = coverage > 0.5, paper.silhouette(sheets, (180, 200))
    assert (inside & mask).sum() / (inside | mask).sum() > 0.95
