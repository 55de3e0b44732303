"""The accuracy harness: its subsets, its runs, and its table from made-up scores."""

import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from datasets_on_disk import annotation, write_lists, write_text
from PIL import Image
from seeds import ROOT

from psa_core.datasets.contents import Digests
from psa_core.datasets.formats.source import DatasetError
from psa_core.datasets.index import ImageRow, write_images
from psa_core.datasets.inventory import Inventory
from psa_core.evaluation import label_check
from psa_core.runtime.artifacts import (
    read_label_map,
    write_array,
    write_label_map,
    write_lines,
    write_table,
)

sys.path.insert(0, str(ROOT / "benchmarks"))

import accuracy
import subsets

# --- subsets --------------------------------------------------------------------------------------


def test_classes_take_turns_and_images_of_other_classes_are_left_out():
    labels = {f"cat{i}": ["cat"] for i in range(50)} | {f"dog{i}": ["dog"] for i in range(4)}
    labels |= {"both": ["cat", "dog"], "rider": ["dog", "person"], "nothing": []}
    chosen = subsets.choose(labels, ["cat", "dog"], 9)
    assert len(chosen) == 9
    assert chosen == sorted(chosen)
    assert sum("dog" in labels[image] for image in chosen) in (4, 5)
    assert sum("cat" in labels[image] for image in chosen) in (5, 6)
    assert not {"rider", "nothing"} & set(chosen)
    assert set(subsets.choose(labels, ["cat", "dog"], 6)) < set(chosen)
    backwards = dict(reversed(labels.items()))
    assert subsets.choose(backwards, ["cat", "dog"], 9) == chosen


def test_too_few_images_are_an_error():
    with pytest.raises(DatasetError, match=r"3 images that show only cat.*there are 2"):
        subsets.choose({"a": ["cat"], "b": ["cat"], "c": ["cat", "dog"]}, ["cat"], 3)


@pytest.mark.parametrize(
    ("size", "reduced"),
    [((500, 375), (250, 188)), ((333, 500), (166, 250)), ((250, 90), (250, 90)), ((9, 9), (9, 9))],
)
def test_images_are_reduced_to_the_longest_side_but_not_enlarged(size, reduced):
    assert subsets.fitting(size, 250) == reduced


def write_devkit(root):
    """Six images of 40 x 20: cat 8, dog 12, horse 13; a person 15 beside each object."""
    values = {"cat": 8, "dog": 12, "horse": 13}
    names = [name for name in values for _ in range(2)]
    images = [f"i{number}" for number in range(6)]
    for image, name in zip(images, names, strict=True):
        mask = np.zeros((20, 40), np.uint8)
        mask[:, 10:20], mask[:, 20:30], mask[:, 30:32] = values[name], 15, 255
        write_label_map(root / f"SegmentationClass/{image}.png", mask)
        write_text(root / f"Annotations/{image}.xml", annotation(name))
        (root / "JPEGImages").mkdir(exist_ok=True)
        Image.fromarray(np.repeat(mask[..., None], 3, 2)).save(root / f"JPEGImages/{image}.jpg")
    write_lists(root, train_aug=" ".join(images), train="i0", val="")
    return dict(zip(images, names, strict=True))


def test_a_subset_is_a_folder_that_the_workflow_reads(tmp_path):
    names = write_devkit(tmp_path / "devkit")
    subsets.build(tmp_path / "devkit", tmp_path / "small", subsets.Subset(6, 20))
    dataset = {"format": "folder", "root": str(tmp_path / "small"), "shards": 1}
    inventory = Inventory(dataset, Digests(tmp_path / "contents.json"))
    assert inventory.classes == ("cat", "dog", "horse")
    assert sorted(inventory.scored["train_aug"] + inventory.scored["val"]) == sorted(names)
    for image, name in names.items():
        assert f"{image}.jpg,{name}" in (tmp_path / "small/labels.csv").read_text()
        assert Image.open(tmp_path / f"small/images/{image}.jpg").size == (20, 10)
        # Halved: the object has columns 5 to 9, the person is background, 255 stays.
        expected = [0] * 5 + [1 + ["cat", "dog", "horse"].index(name)] * 5 + [0] * 5 + [255]
        mask = read_label_map(tmp_path / f"small/masks/{image}.png")
        assert mask.shape == (10, 20)
        np.testing.assert_array_equal(mask, np.tile(expected + [0] * 4, (10, 1)))


def test_small_images_are_copied_and_a_finished_subset_is_kept(tmp_path):
    write_devkit(tmp_path / "devkit")
    subsets.build(tmp_path / "devkit", tmp_path / "same", subsets.Subset(3, 40))
    copies = list((tmp_path / "same/images").iterdir())
    assert len(copies) == 3
    for copy in copies:
        original = tmp_path / "devkit/JPEGImages" / copy.name
        assert copy.read_bytes() == original.read_bytes()
    copies[0].write_text("mine")
    subsets.build(tmp_path / "devkit", tmp_path / "same", subsets.Subset(3, 40))
    assert copies[0].read_text() == "mine"


# --- runs -----------------------------------------------------------------------------------------


def test_each_run_has_a_folder_and_the_laid_over_configuration(tmp_path):
    (tmp_path / "sharp.yaml").write_text(
        "superpixels: {segments: 9}\nsegmentation: {training: {epochs: 1}}"
    )
    (tmp_path / "mine/masks").mkdir(parents=True)
    own = accuracy.own_configurations(tmp_path, ["scenes", f"mine={tmp_path}/mine"], None)
    presets = ["own", str(tmp_path / "sharp.yaml")]
    runs = {
        str(run.folder.relative_to(tmp_path)): run.config
        for run in accuracy.combinations(tmp_path, own, presets, [0, 7])
    }
    combinations = [
        f"runs/{data}/{preset}/{seed}"
        for seed in (0, 7)
        for data in ("scenes", "mine")
        for preset in ("own", "sharp")
    ]
    assert list(runs) == combinations
    dataset = {"format": "folder", "root": f"{tmp_path}/mine"}
    assert runs["runs/mine/own/7"] == {"dataset": dataset, "seed": 7}
    scenes = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    scenes["dataset"]["root"] = f"{ROOT}/examples/scenes"
    assert runs["runs/scenes/own/0"] == scenes | {"seed": 0}
    sharp = runs["runs/scenes/sharp/7"]
    assert sharp["superpixels"] == scenes["superpixels"] | {"segments": 9}
    assert sharp["segmentation"]["training"]["epochs"] == 1
    assert sharp["segmentation"]["inference"] == scenes["segmentation"]["inference"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["sceens"], "no data set 'sceens'"),
        (["scenes", "s48"], "'s48' needs --voc-animals"),
        (["mine=nowhere"], "nowhere/masks: no such folder"),
    ],
)
def test_a_data_set_that_cannot_be_measured_is_named(tmp_path, names, message):
    with pytest.raises(ValueError, match=message):
        accuracy.own_configurations(tmp_path, names, None)


# --- scores and tables ----------------------------------------------------------------------------


def test_halves_depend_on_the_id_alone():
    halves = [accuracy.half_of(f"2007_{number:06}") for number in range(1000)]
    assert 450 < halves.count("tuning") < 550  # four standard deviations are 63
    assert set(halves) == {"tuning", "reporting"}


def write_scores(folder, data, seed, miou, empty=0.0, **others):
    rows = [("pseudo_labels", "train", "cat", 1.0), ("pseudo_labels", "train", "mIoU", miou)]
    rows += [("pseudo_labels", "train", "empty or flooded, %", empty)]
    rows += [(stage, "val", "mIoU", value) for stage, value in others.items()]
    table = pd.DataFrame(rows, columns=["stage", "split", "score", "value"])
    write_table(folder / f"runs/{data}/own/{seed}/scores.csv", table)


def test_table_of_mean_and_standard_deviation(tmp_path):
    write_scores(tmp_path, "scenes", 0, 60, segmentation=50)
    write_scores(tmp_path, "scenes", 1, 62, segmentation=50, empty=10)
    write_scores(tmp_path, "scenes", 2, 67, segmentation=50, empty=20)
    write_scores(tmp_path, "s48", 0, 40)
    table = accuracy.summary(accuracy.read_scores(tmp_path))
    assert list(table) == ["data", "preset", "stage", "split", "score", "mean", "std", "seeds"]
    found = table.set_index(["data", "stage", "score"])[["mean", "std", "seeds"]]
    # Deviations from 63 are -3, -1 and 4: the sum of their squares is 26, half of it 13.
    assert found.loc[("scenes", "pseudo_labels", "mIoU")].tolist() == pytest.approx(
        [63, 13**0.5, 3]
    )
    assert found.loc[("scenes", "segmentation", "mIoU")].tolist() == [50, 0, 3]
    assert found.loc[("s48", "pseudo_labels", "mIoU"), ["mean", "seeds"]].tolist() == [40, 1]
    assert np.isnan(found.loc[("s48", "pseudo_labels", "mIoU"), "std"])
    header, line, *rows = accuracy.markdown(table)
    columns = [cell.strip() for cell in header.strip("|").split("|")]
    assert line.count("---") == len(columns)
    cells = [
        dict(zip(columns, (cell.strip() for cell in row.strip("|").split("|")), strict=True))
        for row in rows
    ]
    assert [(row["data set"], row["seeds"]) for row in cells] == [("s48", "1"), ("scenes", "3")]
    assert [row["labels, train"] for row in cells] == ["40.0", "63.0 ± 3.6"]
    assert [row["model, val"] for row in cells] == ["—", "50.0 ± 0.0"]
    assert [row["empty or flooded, %"] for row in cells] == ["0.0", "10.0 ± 10.0"]


def write_run(folder) -> accuracy.Run:
    """A finished run: of each half an image of 4 x 4 pixels whose left half shows a cat.

    Of the image to tune on, class map and walk are right and the pseudo label is empty; of the
    other the class map is empty, the walk covers all and the pseudo label is right.
    """
    results = folder / "results"
    by_half = {accuracy.half_of(f"i{number}"): f"i{number}" for number in range(20)}
    images = sorted(by_half.values())
    left = np.tile(np.uint8([1, 1, 0, 0]), (4, 1))
    for image in images:
        tuning = image == by_half["tuning"]
        write_label_map(results / f"dataset/masks/{image}.png", left)
        # The background 0.6^5 is below 0.4; with an exponent of 1 it would not be.
        write_array(results / f"cam/maps/{image}.npy", 0.4 * tuning * left[None])
        write_label_map(results / f"walk/labels/{image}.png", left if tuning else left**0)
        write_label_map(results / f"pseudo_labels/{image}.png", left * (not tuning))
    write_lines(results / "dataset/classes.txt", ["cat"])
    write_lines(results / "dataset/scored_train.txt", images)
    rows = [ImageRow(image, "", "", ("cat",), (1,), 4, 4) for image in images]
    table = pd.DataFrame([ImageRow(r.image, "", "", "cat", "1", 4, 4, "", "") for r in rows])
    write_images(results / "dataset/images/train_aug_0.csv", table)
    checks = [
        label_check.check(r, left * (r.image != by_half["tuning"]), np.ones((2, 4, 4)))
        for r in rows
    ]
    write_table(results / "pseudo_labels/check.csv", pd.concat(checks))
    scored = pd.DataFrame([("segmentation", "val", "mean", 77.0)], columns=METRICS)
    write_table(results / "metrics.csv", scored)
    for name, seconds, memory in (("train_cam", 120, 2048), ("infer_cam/train_aug_0", 60, "-")):
        jobs = f"s\th:m:s\tmax_rss\n{seconds}\t0\t{memory}\n"
        write_text(results / f"benchmarks/{name}.tsv", jobs)
    config = {"dataset": {"format": "folder", "root": "mine"}, "cam": {"alpha": 5}}
    return accuracy.Run(folder, config)


METRICS = ["stage", "split", "class", "iou"]


def test_scores_of_a_finished_run(tmp_path):
    table = accuracy.scores_of(write_run(tmp_path))
    scores = table.set_index(["stage", "split", "score"])["value"]
    miou = {
        (stage, split): value for (stage, split, score), value in scores.items() if score == "mIoU"
    }
    # Empty: background 8 of 16, cat 0 of 8. All cat: background 0, cat 8 of 16.
    assert miou == {
        ("segmentation", "val"): 77,
        ("cam", "tuning"): 100,
        ("walk", "tuning"): 100,
        ("pseudo_labels", "tuning"): 25,
        ("cam", "reporting"): 25,
        ("walk", "reporting"): 25,
        ("pseudo_labels", "reporting"): 100,
    }
    assert scores["cam", "reporting", "background"] == 50
    assert scores["walk", "reporting", "cat"] == 50
    assert scores["pseudo_labels", "train", "empty or flooded, %"] == 50
    assert scores["all", "all", "minutes"] == 3
    assert scores["all", "all", "GiB"] == 2
