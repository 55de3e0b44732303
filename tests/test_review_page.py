"""The review page: pictures by hand, reasons and their order, names that look like code."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from psa_core.datasets.index import ImageRow
from psa_core.delivery.review import page, pictures
from psa_core.evaluation.label_check import COLUMNS
from psa_core.runtime.artifacts import read_digests, write_label_map, write_manifest

# --- pictures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_run_lengths_go_on_from_row_to_row(dtype):
    labels = np.array([[0, 0, 3], [3, 3, 255]], dtype)
    assert pictures.run_lengths(labels) == [0, 2, 3, 3, 255, 1]
    assert pictures.run_lengths(np.zeros((2, 2), dtype)) == [0, 4]


def test_files_of_an_image(tmp_path):
    photograph = np.full((600, 1200, 3), 100, np.uint8)
    labels = np.zeros((600, 1200), np.uint8)
    labels[:, 600:] = 2
    pictures.write_pictures(tmp_path, "a.b", photograph, labels)
    assert Image.open(tmp_path / "photographs/a.b.jpg").size == (800, 400)
    thumbnail = Image.open(tmp_path / "thumbnails/a.b.jpg")
    assert thumbnail.size == (400, 100)
    left, right = (np.array(thumbnail)[50, x].astype(int) for x in (150, 350))
    assert np.abs(left - 100).max() <= 3
    assert np.abs(right - [158, 127, 55]).max() <= 6  # 0.45 * (230, 159, 0) + 0.55 * 100
    text = (tmp_path / "labels/a.b.js").read_text()
    image, width, height, runs = json.loads(re.fullmatch(r"showLabel\(\.\.\.(.+)\);\n", text)[1])
    assert (image, width, height) == ("a.b", 800, 400)
    assert runs == [0, 400, 2, 400] * 400


# --- data -----------------------------------------------------------------------------------------


def row(image: str, *classes: int) -> ImageRow:
    return ImageRow(image, f"/data/images/{image}.jpg", "", (), classes, 30, 40)


def checks(*images: tuple) -> pd.DataFrame:
    """One table for (image, object, empty, flooded, margin, {class: share})."""
    rows = [(*image[:5], n, s, s == 0) for image in images for n, s in image[5].items()]
    return pd.DataFrame(rows, columns=COLUMNS)


IMAGES = [row("fine", 1, 2), row("lacks", 1, 2), row("none", 1), row("full", 2), row("unsure", 1)]
CHECKS = checks(
    ("fine", 30.04, False, False, 0.9, {"cat": 10.02, "dog": 20.02}),
    ("lacks", 10.0, False, False, 0.8, {"cat": 0.0, "dog": 10.0}),
    ("none", 0.0, True, False, 0.5, {"cat": 0.0}),
    ("full", 99.0, False, True, 0.6, {"dog": 99.0}),
    ("unsure", 20.0, False, False, 0.1234, {"cat": 20.0}),
)
DIGESTS = {image.image: f"digest of {image.image}" for image in IMAGES}


def test_reasons_and_worst_first():
    found = page.describe(IMAGES, CHECKS, DIGESTS, [])
    assert {each["id"]: each["reasons"] for each in found} == {
        "none": ["empty"],
        "full": ["flooded"],
        "lacks": ["missing"],
        "unsure": ["margin"],
        "fine": [],
    }
    assert [each["id"] for each in found] == ["none", "full", "lacks", "unsure", "fine"]
    assert found[-1] == {
        "id": "fine",
        "file": "fine.jpg",
        "width": 40,
        "height": 30,
        "object": 30.0,
        "margin": 0.9,
        "reasons": [],
        "tags": [(1, 10.0), (2, 20.0)],
        "missing": [],
        "label": "digest of fine",
        "corrected": False,
    }
    last = page.describe(IMAGES, CHECKS, DIGESTS, ["none"])[-1]
    assert (last["id"], last["corrected"]) == ("none", True)


def test_classes_without_a_pixel_are_those_of_the_check():
    """Not those whose rounded share is 0."""
    few = checks(("fine", 30.0, False, False, 0.9, {"cat": 0.0, "dog": 0.0}))
    few["missing"] = [False, True]
    (image,) = page.describe(IMAGES[:1], few, DIGESTS, [])
    assert (image["missing"], image["reasons"]) == ([2], ["missing"])


def test_the_page_and_its_data(tmp_path):
    names = ["<script>alert(1)</script>", "\"'; alert(2)//\u2028"]
    index = tmp_path / "review/index.html"
    decisions = {"fine": "accept", "gone": "exclude"}
    page.write_page(
        index, IMAGES, CHECKS, names, labels=DIGESTS, decisions=decisions, corrected=["full"]
    )
    text = (index.parent / "data.js").read_text()
    data = json.loads(json.loads(re.fullmatch(r"const REVIEW = JSON.parse\((.+)\);\n", text)[1]))
    assert data["classes"] == names
    assert data["decisions"] == decisions
    assert data["colours"] == [[[86, 180, 233]] * 2, [[230, 159, 0]] * 2]
    assert len(data["images"]) == 5
    html = index.read_text()
    named = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert {path.name for path in index.parent.iterdir()} == {"index.html", *named}
    assert not re.search(r"https?:|fetch\(|innerHTML", "".join(map(str, named)) + html)


def test_digests_by_image(tmp_path):
    pattern = f"{tmp_path}/{{}}.png"
    for value, image in enumerate(("a", "b.c")):
        write_label_map(pattern.format(image), np.full((2, 2), value))
    write_manifest(tmp_path / "0.txt", pattern, ["a"])
    write_manifest(tmp_path / "1.txt", pattern, ["b.c"])
    found = read_digests([tmp_path / "0.txt", tmp_path / "1.txt"])
    assert list(found) == ["a", "b.c"]
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in found.values())
    assert found["a"] != found["b.c"]
