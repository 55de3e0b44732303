"""Scores of label maps, by hand."""

import numpy as np
import pytest

from psa_core.evaluation import metrics

# Two images, three classes (background, cat, dog), one more class (bus) that occurs nowhere.
PAIRS = [
    (
        np.array([[0, 0, 0, 1], [1, 1, 255, 255]], np.uint8),
        np.array([[0, 1, 1, 1], [1, 0, 1, 0]], np.uint8),
    ),
    (np.array([[2, 2, 0]], np.uint8), np.array([[2, 255, 0]], np.uint8)),
]
# Counted: (0,0) (0,1) (0,1) (1,1) (1,1) (1,0) and (2,2) (0,0); three pixels are ignored.
CONFUSION = [[2, 2, 0, 0], [1, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def table():
    return metrics.scores(
        np.array(CONFUSION), ["cat", "dog", "bus"], stage="walk", split="val", images=2
    ).set_index("class")


def test_confusion_matrix():
    confusion = metrics.confusion_matrix(PAIRS, 3)
    np.testing.assert_array_equal(confusion, CONFUSION)
    assert confusion.dtype == np.int64


def test_intersection_over_union():
    # background 2 / (2 + 2 + 1), cat 2 / (2 + 1 + 2), dog 1 / 1; bus does not occur.
    assert table().loc[["background", "cat", "dog"], "iou"].tolist() == [40, 40, 100]
    assert np.isnan(table().loc["bus", "iou"])
    assert table().loc["mean", "iou"] == pytest.approx((40 + 40 + 100) / 3)


def test_precision_and_recall():
    # Columns are the prediction: background 2 of 3, cat 2 of 4. Rows the truth: 2 of 4, 2 of 3.
    precision, recall = table()["precision"], table()["recall"]
    assert precision[["background", "cat", "dog"]].tolist() == pytest.approx([200 / 3, 50, 100])
    assert recall[["background", "cat", "dog"]].tolist() == pytest.approx([50, 200 / 3, 100])
    assert np.isnan(precision["bus"])
    assert np.isnan(recall["bus"])
    assert precision["mean"] == pytest.approx((200 / 3 + 50 + 100) / 3)


def test_a_class_that_is_never_found_counts_as_zero():
    scores = metrics.scores(
        np.array([[4, 0], [2, 0]]), ["cat"], stage="cam", split="train", images=1
    ).set_index("class")
    assert scores.loc["cat", ["iou", "recall"]].tolist() == [0, 0]
    assert np.isnan(scores.loc["cat", "precision"])
    assert scores.loc["mean", "iou"] == pytest.approx(100 * (4 / 6) / 2)


def test_a_class_that_is_only_predicted_counts_as_zero():
    scores = metrics.scores(
        np.array([[4, 2], [0, 0]]), ["cat"], stage="cam", split="train", images=1
    ).set_index("class")
    assert scores.loc["cat", "iou"] == 0
    assert scores.loc["mean", "iou"] == pytest.approx(100 * (4 / 6) / 2)


def test_table_has_one_row_per_class_and_the_mean():
    rows = table().reset_index()
    assert sorted(rows.columns) == sorted(metrics.COLUMNS)
    assert rows["class"].tolist() == ["background", "cat", "dog", "bus", "mean"]
    assert (rows["stage"] == "walk").all()
    assert (rows["split"] == "val").all()
    assert (rows["images"] == 2).all()


def test_no_pixels_at_all():
    assert metrics.confusion_matrix([], 2).tolist() == [[0] * 3] * 3


def test_sizes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        metrics.confusion_matrix([(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))], 2)


@pytest.mark.parametrize(("true", "predicted"), [(0, 3), (3, 0), (2, 200)])
def test_an_index_that_is_no_class_is_refused(true, predicted):
    """It would otherwise be counted for another class."""
    pair = np.full((2, 2), true, np.uint8), np.full((2, 2), predicted, np.uint8)
    with pytest.raises(ValueError, match=f"{max(true, predicted)}"):
        metrics.confusion_matrix([pair], 2)
