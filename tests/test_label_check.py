"""The label check, by hand-made label maps and tables."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_data import Stubbed

from psa_core.datasets.index import ImageRow
from psa_core.evaluation import label_check, label_warning
from psa_core.runtime.artifacts import write_table


def row(image: str = "a", labels=("cat", "dog"), classes=(1, 3)) -> ImageRow:
    return ImageRow(image, "a.jpg", "", labels, classes, 10, 10)


def label_map(**pixels: int) -> np.ndarray:
    """10 x 10 pixels, so many of classes 1 (one) and 3 (three), the others background."""
    labels = np.zeros(100, np.uint8)
    labels[: pixels.get("one", 0)] = 1
    labels[100 - pixels.get("three", 0) :] = 3
    return labels.reshape(10, 10)


SCORES = np.full((3, 2, 2), 0.5)


def test_shares_of_the_object_and_of_each_class():
    table = label_check.check(row(), label_map(one=30, three=5), SCORES)
    assert list(table) == label_check.COLUMNS
    assert table["image"].tolist() == ["a", "a"]
    assert table["class"].tolist() == ["cat", "dog"]
    assert table["object"].tolist() == [35, 35]
    assert table["share"].tolist() == [30, 5]
    assert not table[["empty", "flooded", "missing"]].any(axis=None)


def test_a_label_without_a_pixel_is_missing():
    table = label_check.check(row(), label_map(three=5), SCORES)
    assert table["missing"].tolist() == [True, False]
    assert not table["empty"].any()


def test_a_label_map_without_an_object_is_empty():
    table = label_check.check(row(), label_map(), SCORES)
    assert table["empty"].all()
    assert table["missing"].all()
    assert table["object"].tolist() == [0, 0]


@pytest.mark.parametrize(("background", "flooded"), [(0, True), (1, True), (2, False), (3, False)])
def test_less_than_two_per_cent_of_background_is_flooded(background, flooded):
    table = label_check.check(row(), label_map(one=60, three=40 - background), SCORES)
    assert table["flooded"].tolist() == [flooded, flooded]


def test_margin_of_scores():
    # Cells: (2, 1, 1) / 4, (0, 3, 1) / 4, (0, 0, 0), (1, 1, 1) / 3: margins 1/4, 2/4, 0, 0.
    scores = np.array([[[2, 0, 0, 1]], [[1, 3, 0, 1]], [[1, 1, 0, 1]]], np.float32)
    table = label_check.check(row(), label_map(one=30), scores)
    assert table["margin"].tolist() == pytest.approx([0.75 / 4] * 2)


def test_tables_of_shards_are_joined_by_image_with_ids_that_look_like_numbers(tmp_path):
    shards = {"0": ("010", "02"), "1": ("01",)}
    for shard, images in shards.items():
        checks = [
            label_check.check(row(i, labels=("1", "NA")), label_map(one=3), SCORES) for i in images
        ]
        write_table(tmp_path / f"{shard}.csv", pd.concat(checks))
    table = label_warning.read_checks([tmp_path / "0.csv", tmp_path / "1.csv"])
    assert table["image"].tolist() == ["01", "01", "010", "010", "02", "02"]
    assert table["class"].tolist() == ["1", "NA"] * 3
    assert table["missing"].tolist() == [False, True] * 3
    assert label_warning.suspicious(table).to_dict() == {"01": False, "010": False, "02": False}


# --- the warning ----------------------------------------------------------------------------------


def images(count: int, *, names=("cat",), **pixels: int) -> list[pd.DataFrame]:
    """Checks of images with these labels; `pixels` as in `label_map`."""
    classes = [{"cat": 1, "dog": 3}[name] for name in names]
    rows = [row(f"image{next(NUMBERS)}", names, classes) for _ in range(count)]
    return [label_check.check(each, label_map(**pixels), SCORES) for each in rows]


NUMBERS = itertools.count()
EMPTY, FLOODED = {"one": 0}, {"one": 100}


def warning(*groups: list[pd.DataFrame]) -> str:
    return label_warning.warning(pd.concat(itertools.chain(*groups)))


def good(cats: int, dogs: int) -> list[pd.DataFrame]:
    return images(cats, one=40) + images(dogs, names=["dog"], three=40)


def test_one_in_ten_is_silent_two_are_not():
    assert warning(good(9, 10), images(1, **EMPTY)) == ""
    assert warning(good(8, 10), images(1, **EMPTY), images(1, **FLOODED)) == ""
    assert "3 of 20 pseudo labels are empty (2) or cover the whole image (1)" in warning(
        good(7, 10), images(2, **EMPTY), images(1, **FLOODED)
    )


def test_the_remedy_fits_the_pattern():
    assert "raise it" in warning(good(9, 10), images(6, **EMPTY), images(3, **FLOODED))
    assert "lower it" in warning(good(9, 10), images(3, **EMPTY), images(6, **FLOODED))
    both = warning(good(9, 10), images(4, **EMPTY), images(5, **FLOODED))
    assert "cam.training.epochs" in both
    assert "raise" not in both


def test_one_class_that_fails_is_named():
    text = warning(good(4, 10), images(6, **EMPTY))
    assert text.startswith("6 of 20 pseudo labels are empty (6)")
    assert "images with cat are" in text
    assert "dog" not in text


def test_a_rare_class_that_fails_is_named_alone():
    text = warning(good(0, 97), images(1, one=40), images(2, names=["cat", "dog"], three=40))
    assert text.startswith("most pseudo labels of images with cat are empty")
    assert "walk.alpha" not in text


def test_classes_that_all_fail_are_not_named():
    text = warning(images(5, **EMPTY), images(5, names=["dog"]))
    assert text.startswith("10 of 10 pseudo labels are empty (10)")
    assert "images with" not in text


def test_a_run_ends_with_the_warning(stubbed, tmp_path):
    """A true run, not a dry run."""
    copied = stubbed.copy(tmp_path / "run")
    run = Stubbed(copied.folder, Path(shutil.copytree(copied.project, tmp_path / "project")))
    script = run.project / "workflow/scripts/check_labels.py"
    script.write_text(
        f"import shutil; shutil.copy({str(tmp_path / 'check.csv')!r}, snakemake.output[0])"
    )
    targets, forced = ("results/metrics.csv",), ("--forcerun", "check_labels")
    write_table(tmp_path / "check.csv", pd.concat(good(4, 4)))
    printed = run.make(targets=targets)
    assert "pseudo labels to look at first" in printed
    assert "pseudo labels are" not in printed
    write_table(tmp_path / "check.csv", pd.concat(images(8, **EMPTY)))
    printed = run.make(*forced, targets=targets)
    assert "8 of 8 pseudo labels are empty" in printed
    assert "results/pseudo_labels/check.csv" in printed
    assert "pseudo labels are" not in run.make("--dry-run", *forced, targets=targets)
    # A run that makes no labels says nothing of them, but where its own results are.
    printed = run.make(targets=("results/export/pseudo_labels/voc.zip",))
    assert "pseudo labels to look at" not in printed
    assert f"exports of pseudo_labels: {run.folder / 'results/export/pseudo_labels'}" in printed
    assert "results/figures" not in printed
