"""The measured example of corrections: which images, how wrong their labels are, the table."""

import sys

import numpy as np
import pandas as pd
import pytest
from seeds import ROOT

from psa_core.runtime.artifacts import write_label_map, write_lines, write_table

sys.path.insert(0, str(ROOT / "benchmarks"))
import corrections


@pytest.fixture
def run(tmp_path):
    """Four images of 10 x 10 pixels, half of them object; of d there is no true mask.

    The label of a is empty, that of b lacks 10 pixels, that of c is right.
    """
    results = tmp_path / "results"
    (results / "dataset/masks").mkdir(parents=True)
    (results / "pseudo_labels").mkdir()
    mask = np.repeat(np.uint8([[0], [1]]), 5, axis=0).repeat(10, axis=1)
    right = {"a": 0, "b": 4, "c": 5, "d": 5}
    for image, rows in right.items():
        label = np.zeros_like(mask)
        label[5 : 5 + rows] = 1
        write_label_map(results / f"pseudo_labels/{image}.png", label)
        if image != "d":
            write_label_map(results / f"dataset/masks/{image}.png", mask)
    write_lines(results / "dataset/scored_train.txt", ["a", "b", "c"])
    rows = [
        (image, name, margin, image == "a", False, image == "a", 0.5)
        for image, margin in {"a": 0.9, "b": 0.2, "c": 0.4, "d": 0.1}.items()
        for name in ["cat"]
    ]
    columns = ["image", "class", "margin", "empty", "flooded", "missing", "share"]
    write_table(results / "pseudo_labels/check.csv", pd.DataFrame(rows, columns=columns))
    return tmp_path


def test_worst_are_those_of_the_review_page_that_have_true_masks(run):
    assert corrections.ranked(run, "worst", 0) == ["a", "b", "c"]


def test_random_orders_differ_by_draw_and_have_the_same_images(run):
    orders = {tuple(corrections.ranked(run, "random", draw)) for draw in range(9)}
    assert len(orders) > 1
    assert {tuple(sorted(order)) for order in orders} == {("a", "b", "c")}


@pytest.mark.parametrize(("images", "wrong"), [("a", 50), ("b", 10), ("c", 0), ("abc", 20)])
def test_wrong_pixels_by_hand(run, images, wrong):
    assert corrections.wrong_pixels(run, list(images)) == pytest.approx(wrong)


def test_table_has_means_and_spread():
    rows = [(10, "worst", 0, 30.0, 60.0), (10, "random", 0, 10.0, 57.0), (10, "random", 1, 12, 59)]
    table = pd.DataFrame(rows, columns=["count", "order", "draw", "wrong", "miou"])
    lines = corrections.markdown(table, 55.0)
    assert lines[2:] == [
        "| 0 | | | | 55.0 |",
        "| 10 | first on the review page | 1 | 30.0 | 60.0 |",
        "| 10 | random | 2 | 11.0 ± 1.4 | 58.0 ± 1.4 |",
    ]
