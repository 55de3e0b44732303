"""The last lines of a run: scores, labels to look at first, places."""

import os

import pandas as pd
import pytest

from psa_core.evaluation import closing, label_warning
from psa_core.evaluation.label_check import COLUMNS
from psa_core.runtime.artifacts import write_table
from psa_core.runtime.terminal import times


def check(**images):
    """A table of the label check; for each image (empty, flooded, missing, margin)."""
    rows = [
        (image, 50.0, empty, flooded, margin, name, 0.0 if missing else 50.0, missing)
        for image, (empty, flooded, missing, margin) in images.items()
        for name in ("cat", "dog")[: 2 if missing else 1]
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_the_worst_labels_come_first():
    table = check(
        fine=(False, False, False, 0.9),
        close=(False, False, False, 0.25),
        flood=(False, True, False, 0.8),
        gone=(True, False, True, 0.7),
        lacks=(False, False, True, 0.6),
    )
    order = label_warning.worst_first(table)
    assert order.index.tolist() == ["gone", "flood", "lacks", "close", "fine"]
    assert order["missing"].tolist() == [2, 0, 2, 0, 0]


def test_lines_of_a_run(tmp_path):
    columns = ["stage", "split", "class", "iou", "images"]
    rows = [("cam", "train", "cat", 30, 4), ("cam", "train", "mean", 40.06, 4)]
    rows += [("segmentation", "val", "mean", 50.0, 2)]
    write_table(tmp_path / "metrics.csv", pd.DataFrame(rows, columns=columns))
    checks = check(a=(False, False, False, 0.52), b=(True, False, True, 0.5))
    write_table(tmp_path / "check.csv", checks)
    (tmp_path / "figures").mkdir()
    tables = tmp_path / "metrics.csv", tmp_path / "check.csv"
    places = {"pictures": str(tmp_path / "figures"), "model": str(tmp_path / "none")}
    lines = closing.closing(*tables, places, before={})
    scores, labels, warning, *found = lines
    assert scores == "mIoU (%) and images: cam 40.1 (4 train), segmentation 50.0 (2 val)"
    assert labels == "pseudo labels to look at first: b (empty), a (unsure, margin 0.52)"
    assert warning.startswith("1 of 2 pseudo labels are empty (1)")
    assert warning.endswith(f"(see {tmp_path / 'check.csv'})")
    assert found == [f"pictures: {tmp_path / 'figures'}"]
    _, labels, *_ = closing.closing(*tables, places, before={}, decided={"b"})
    assert labels == "pseudo labels to look at first: a (unsure, margin 0.52)"
    lines = closing.closing(*tables, {}, before={}, decided={"a", "b"})
    assert not any("to look at" in line for line in lines)


def test_what_was_there_before_is_not_named(tmp_path):
    columns = ["stage", "split", "class", "iou", "images"]
    write_table(
        tmp_path / "metrics.csv", pd.DataFrame([("cam", "train", "mean", 40, 4)], columns=columns)
    )
    write_table(tmp_path / "check.csv", check(a=(True, False, True, 0.5)))
    (tmp_path / "figures").mkdir()
    tables = tmp_path / "metrics.csv", tmp_path / "check.csv"
    places = {"pictures": str(tmp_path / "figures"), "model": str(tmp_path / "model")}
    before = times([*tables, *places.values()])
    assert closing.closing(*tables, places, before=before) == []
    (tmp_path / "model").write_text("")
    (tmp_path / "figures/new.png").write_text("")
    os.utime(tmp_path / "figures", ns=(5, 5))  # as coarse clocks need not show it
    lines = closing.closing(*tables, places, before=before)
    assert lines == [f"pictures: {tmp_path / 'figures'}", f"model: {tmp_path / 'model'}"]
    # A run that goes on after the labels were made still names them.
    os.utime(tables[0], ns=(5, 5))
    scores, labels, *_ = closing.closing(*tables, {}, before=before)
    assert scores.startswith("mIoU")
    assert labels.startswith("pseudo labels to look at first: a (empty)")


@pytest.mark.parametrize("text", [None, "", "image,labels\na,cat\n", "a\nb,c\n"])
def test_a_table_that_is_missing_or_of_another_kind_says_nothing(tmp_path, text):
    paths = [tmp_path / "metrics.csv", tmp_path / "check.csv"]
    if text is not None:
        for path in paths:
            path.write_text(text)
    assert closing.closing(*paths, {}, before={}) == []


def test_a_run_without_masks_has_no_scores(tmp_path):
    (tmp_path / "metrics.csv").write_text("stage,split,class,iou,images\n")
    assert closing.closing(tmp_path / "metrics.csv", tmp_path / "none", {}, before={}) == []
