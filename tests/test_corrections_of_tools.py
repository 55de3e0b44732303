"""Corrected masks as CVAT and LabelMe give them back."""

import json
import zipfile

import numpy as np
import pytest
from datasets_on_disk import SIZE, check_problem, inventory, write_folder, write_mask, write_text
from PIL import Image

from psa_core.datasets.corrections import write_corrections
from psa_core.datasets.formats.source import DatasetError
from psa_core.datasets.index import describe_images, read_images, write_images
from psa_core.datasets.labelme import filled
from psa_core.delivery import exports
from psa_core.delivery.exports.parts import MaskedImage

NAMES = ("cat", "dog")


def masks():
    """Of x: classes that touch, a hole, a speck, parts that touch at a corner. Of y: nothing."""
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[4:20, 3:18], mask[8:12, 8:12] = 1, 0
    mask[4:20, 18:30], mask[20:28, 30:36], mask[31, 39] = 2, 2, 2
    return {"x": mask, "cats__y": np.zeros_like(mask)}


@pytest.fixture
def root(tmp_path):
    return tmp_path / "mine"


@pytest.fixture
def dataset(root):
    """Training images cats/y.PNG, x.jpg and z.webp."""
    return {**write_folder(root), "corrections": "corrections"}


@pytest.fixture
def corrected(dataset, root):
    """The corrections as the workflow reads them: class indices by image id."""

    def read():
        data = inventory(dataset)
        write_images(root / "0.csv", describe_images(dataset, data.images["train_aug"]))
        rows = read_images(root / "0.csv")
        pattern = f"{root}/made/{{}}.png"
        coding = data.correction_coding
        table = write_corrections(rows, data.corrections, data.classes, coding, pattern)
        return {row.image: np.asarray(Image.open(row.path)) for row in table.itertuples()}

    return read


@pytest.mark.parametrize("format", ["cvat", "labelme"])
def test_an_unpacked_export_reads_back_exactly(dataset, root, corrected, format):
    images = [
        MaskedImage("x.jpg", root / "images/x.jpg", masks()["x"]),
        MaskedImage("cats/y.PNG", root / "images/cats/y.PNG", masks()["cats__y"]),
    ]
    exports.write(format, root / "export.zip", images, NAMES)
    with zipfile.ZipFile(root / "export.zip") as archive:
        archive.extractall(root / "corrections")
    found = corrected()
    assert list(found) == ["cats__y", "x"]
    for image, mask in masks().items():
        assert (found[image] == mask).all()


def test_cvats_folder_of_classes_alone(dataset, root, corrected):
    """In colours of CVAT's own, with ignored pixels, and named itself as the corrections."""
    write_text(root / "new/labelmap.txt", "background:0,0,0::\ncat:250,50,83::\ndog:9,9,9::\n")
    folder = root / "new/SegmentationClass"
    folder.mkdir()
    pixels = np.zeros((*SIZE[::-1], 3), np.uint8)
    pixels[0, :2] = (250, 50, 83), (9, 9, 9)
    Image.fromarray(pixels).save(folder / "x.png")
    dataset["corrections"] = "new/SegmentationClass"
    assert corrected()["x"][0, :3].tolist() == [1, 2, 0]


def test_a_labelmap_of_the_masks_is_not_that_of_the_corrections(dataset, root, corrected):
    write_text(root / "labelmap.txt", "cat:250,50,83::\ndog:9,9,9::\n")
    write_mask(root / "corrections/x.png", [0, 1, 2, 255])
    assert corrected()["x"][0, :4].tolist() == [0, 1, 2, 255]


# --- LabelMe --------------------------------------------------------------------------------------


def labelme(*shapes, size=SIZE):
    """LabelMe's JSON of (label, kind, points)."""
    listed = [
        {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}}
        for label, kind, points in shapes
    ]
    about = {"version": "5.5.0", "flags": {}, "imagePath": "x.jpg", "imageData": None}
    return json.dumps({**about, "shapes": listed, "imageHeight": size[1], "imageWidth": size[0]})


def test_shapes_of_labelme(root, corrected):
    cat = ("cat", "polygon", [[2, 2], [12, 2], [12, 12], [2, 12]])
    dog = ("dog", "rectangle", [[8, 8], [4, 4]])
    hidden = ("__ignore__", "polygon", [[20, 0], [29.9, 0], [20, 9.9]])
    write_text(root / "corrections/x.json", labelme(cat, dog, hidden))
    write_mask(root / "corrections/x.png")  # the image, as LabelMe's folders have it
    expected = np.zeros(SIZE[::-1], np.uint8)
    expected[2:12, 2:12], expected[4:8, 4:8] = 1, 2
    expected[:10, 20:30][np.add.outer(np.arange(10), np.arange(10)) < 9] = 255
    assert (corrected()["x"] == expected).all()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (labelme(("cta", "polygon", [[0, 0], [9, 0], [9, 9]])), "x.json, shape 1: 'cta' is not a"),
        (labelme(("cat", "circle", [[5, 5], [9, 5]])), "x.json, shape 1: a circle, but only polyg"),
        (labelme(("cat", "polygon", [[5, 5], [9, 5]])), "x.json, shape 1: 2 points enclose"),
        (labelme(("cat", "polygon", [[5, 5], [9], "a"])), "shape 1: its points are not pairs of"),
        (labelme(size=(41, 32)), "x.json: outlines for 41 x 32 pixels, but the image has 40 x 32"),
        ('{"shapes": []}', "x.json: not a JSON of LabelMe (the file: 'imageWidth' is missing"),
        ("{", "x.json: not a JSON of LabelMe (Expecting"),
    ],
)  # fmt: skip
def test_files_of_labelme_that_are_refused(root, corrected, text, part):
    write_text(root / "corrections/x.json", text)
    with pytest.raises(DatasetError, match=r"1 problem\(s\)") as error:
        corrected()
    assert part in str(error.value)


def test_files_of_images_that_are_not_trained_on(dataset, root):
    write_text(root / "corrections/w.json", labelme())
    write_text(root / "corrections/cats/y.json", labelme())
    write_text(root / "corrections/cats__y.json", labelme())
    check_problem(
        dataset, "corrections/w.json: 'w' is not in train_aug", "y.json, of the same image: remove"
    )


def test_pixels_whose_centre_lies_in_a_polygon():
    triangle = np.array([[0, 0], [4.2, 0], [0, 4.2]])
    expected = [[1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0]]
    assert filled(triangle, (3, 5)).astype(int).tolist() == expected
    assert filled(triangle[::-1] - 1, (3, 2)).astype(int).tolist() == [[1, 1], [1, 0], [0, 0]]
    assert not filled(triangle + 9, (4, 5)).any()
