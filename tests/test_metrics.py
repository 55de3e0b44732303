"""Scores of label maps, by hand."""

import numpy as np
import pandas as pd
import pytest

from psa_core.evaluation import figures, metrics

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


def without_border(confusion):
    return np.stack([confusion, np.zeros_like(confusion)])


def table():
    return metrics.scores(
        without_border(CONFUSION), ["cat", "dog", "bus"], stage="walk", split="val", images=2
    ).set_index("class")


def test_confusion_matrix():
    confusion = metrics.confusion_matrix(PAIRS, 3)
    np.testing.assert_array_equal(confusion, CONFUSION)
    assert confusion.dtype == np.int64


@pytest.mark.filterwarnings("error")  # of the division by no pixels
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
        without_border([[4, 0], [2, 0]]), ["cat"], stage="cam", split="train", images=1
    ).set_index("class")
    assert scores.loc["cat", ["iou", "recall"]].tolist() == [0, 0]
    assert np.isnan(scores.loc["cat", "precision"])
    assert scores.loc["mean", "iou"] == pytest.approx(100 * (4 / 6) / 2)


def test_a_class_that_is_only_predicted_counts_as_zero():
    scores = metrics.scores(
        without_border([[4, 2], [0, 0]]), ["cat"], stage="cam", split="train", images=1
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


def test_border_band_by_hand():
    """The longest side of 100 pixels gives a band of two; ignored pixels are no border."""
    mask = np.zeros((9, 100), np.uint8)
    mask[:, 50:] = 1
    mask[:, 80:] = 255
    band = metrics.border_band(mask)
    assert band.any(0).nonzero()[0].tolist() == [48, 49, 50, 51]
    assert band[:, 48:52].all()


def test_border_band_of_two_classes_around_ignored_pixels():
    """VOC ignores the pixels along a border; those near enough to the other class still count."""
    mask = np.full((1, 100), 2, np.uint8)
    mask[0, :40], mask[0, 40] = 0, 255
    assert metrics.border_band(mask)[0].nonzero()[0].tolist() == [39, 41]


def test_border_band_of_a_small_image_is_one_pixel_wide():
    mask = np.array([[0, 0, 3, 3]], np.uint8)
    assert metrics.border_band(mask).tolist() == [[False, True, True, False]]


def test_losses_by_hand():
    """Ten columns, the band is one pixel wide: columns 3, 4 and 6, 7."""
    true = np.array([[0, 0, 0, 0, 1, 1, 1, 2, 2, 2]], np.uint8)
    predicted = np.array([[1, 0, 0, 1, 1, 0, 1, 2, 1, 0]], np.uint8)
    matrices = metrics.confusion_matrices([(true, predicted)], 2)
    assert matrices.dtype == np.int64
    scores = metrics.scores(matrices, ["cat", "dog"], stage="walk", split="train", images=1)
    table = scores.set_index("class")
    # Unions: background 4 + 2 more, cat 3 + 3 more, dog 3.
    columns = ["iou", "flooded", "border", "missed", "confused"]
    by_hand = {
        "background": np.array([2, 1, 1, 2, 0]) / 6,
        "cat": np.array([2, 1, 1, 1, 1]) / 6,
        "dog": np.array([1, 0, 0, 1, 1]) / 3,
    }
    for name, expected in by_hand.items():
        assert table.loc[name, columns].tolist() == pytest.approx(100 * expected)
    assert table.loc["mean", columns].sum() == pytest.approx(100)
    assert table.loc["mean", "missed"] == pytest.approx(100 * (2 / 6 + 1 / 6 + 1 / 3) / 3)


def test_losses_and_iou_of_each_class_sum_to_100():
    generator = np.random.default_rng(0)
    pairs = [generator.integers(0, 4, (2, 30, 40), np.uint8) for _ in range(3)]
    pairs[0][0, :5] = 255
    matrices = metrics.confusion_matrices(pairs, 3)
    scores = metrics.scores(matrices, ["a", "b", "c"], stage="cam", split="train", images=3)
    np.testing.assert_allclose(scores[["iou", *metrics.LOSSES]].sum(axis=1), 100)
    assert (scores["border"] > 0).all()


def test_figure_of_losses_has_each_share_in_its_place():
    generator = np.random.default_rng(0)
    matrices = metrics.confusion_matrices(generator.integers(0, 3, (2, 2, 20, 30), np.uint8), 2)
    scores = [
        metrics.scores(matrices, ["cat", "dog"], stage=stage, split="train", images=2)
        for stage in ("cam", "walk")
    ]
    axes = figures.losses(pd.concat(scores)).axes
    assert [axis.get_title() for axis in axes] == ["cam (train)", "walk (train)"]
    for axis, table in zip(axes, scores, strict=True):
        for bars in axis.containers:
            widths = [bar.get_width() for bar in bars]
            assert widths == pytest.approx(table[bars.get_label()].tolist())
        ends = [bar.get_x() + bar.get_width() for bar in axis.containers[-1]]
        assert ends == pytest.approx([100] * 4)
