"""The workflow on folders with few or no masks or without val, and on VOC with a test set."""

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from datasets_on_disk import annotation, write_image, write_labels, write_lists, write_text
from dry_runs import DryRun, jobs_to_run
from PIL import Image
from seeds import ROOT, SEED, TINY_YAML
from workflow_runs import snakemake

from psa_core.datasets.decode import read_image
from psa_core.datasets.index import ImageRow, resized
from psa_core.evaluation import label_check, label_warning
from psa_core.method import segmentation
from psa_core.networks.builder import build
from psa_core.networks.files import write_network
from psa_core.runtime.artifacts import (
    VOC_PALETTE,
    write_array,
    write_label_map,
    write_manifest,
    write_table,
)
from psa_core.runtime.config import complete

TINY = yaml.safe_load(TINY_YAML.read_text())
TINY["affinity_labels"]["true_masks"], TINY["segmentation"]["upper_bound"] = [], False  # no masks
SCHEMA = yaml.safe_load((ROOT / "config/schema.yaml").read_text())


def preset(folder: Path, **dataset) -> Path:
    """A preset for the tiny networks and a data set, in the folder of a run."""
    path = folder / "preset.yaml"
    path.write_text(yaml.safe_dump({**TINY, "dataset": {"shards": 1, **dataset}}))
    return path


# --- folders --------------------------------------------------------------------------------------


IMAGES = ("cats/c0", "cats/c1", "cats/c2", "d0", "d1", "d2", "cats/v0", "v1")
TRAIN = ["cats__c0", "cats__c1", "cats__c2", "d0", "d1", "d2"]
VAL = ["cats__v0", "v1"]
STAGES = ("cam", "walk", "pseudo_labels", "segmentation")
TRAINED = ("cam", "affinity", "segmentation")
PER_SHARD = (
    "infer_cam",
    "make_affinity_labels",
    "infer_affinity",
    "run_walk",
    "make_pseudo_labels",
)


def label_of(image: str) -> int:
    return 1 if "/" in image else 2


def write_folder(run: Path) -> Path:
    """Write six images for training and two for val, no masks; returns a preset for them."""
    rows = []
    for image in IMAGES:
        write_image(run / f"mine/images/{image}.jpg", size=(64, 48))
        split = "val" if "v" in image else "train"
        rows.append(f"{image}.jpg,{('cat', 'dog')[label_of(image) - 1]},{split}")
    write_labels(run / "mine", *rows)
    return preset(run, format="folder", root=str(run / "mine"))


def write_stages(run: Path) -> None:
    """Write what the stages would make of the images, with random labels."""
    rng = np.random.default_rng(SEED)
    results = run / "results"
    made = {"cam/maps": "npy", "affinity_labels": "png", "walk/labels": "png"}
    made |= {"walk/scores": "npy", "pseudo_labels": "png", "segmentation/predictions": "png"}
    for folder, suffix in made.items():
        part, images = ("val", VAL) if "segmentation" in folder else ("train_aug", TRAIN)
        pattern = f"{results}/{folder}/{{}}.{suffix}"
        for image in images:
            if suffix == "npy":
                write_array(pattern.format(image), rng.random((1, 3, 4)))
            else:
                write_label_map(pattern.format(image), rng.integers(0, 3, (48, 64)))
        write_manifest(results / folder / f"{part}_0.txt", pattern, images)
    rows = [ImageRow(image, "", "", ("cat",), (1,), 48, 64) for image in TRAIN]
    empty = np.zeros((48, 64), np.uint8)
    checks = pd.concat(label_check.check(row, empty, np.ones((2, 3, 4))) for row in rows)
    write_table(results / "pseudo_labels/train_aug_0.csv", checks)
    exponents = pd.DataFrame({"image": TRAIN, "exponent": 8.0})
    write_table(results / "walk/exponents/train_aug_0.csv", exponents)
    (results / "affinity/edges").mkdir(parents=True)
    networks = [f"{stage}/network.safetensors" for stage in TRAINED if stage != "segmentation"]
    for file in ("affinity/edges/train_aug_0.h5", *networks):
        (results / file).parent.mkdir(parents=True, exist_ok=True)
        (results / file).touch()
    for stage in TRAINED:
        losses = pd.DataFrame({"epoch": [1, 2], "loss": [0.7, 0.5]})
        write_table(results / stage / "losses.csv", losses)
    settings = {"backbone": "resnet18", "output_stride": 32, "frozen_stages": 0}
    settings |= {"architecture": "largefov"}
    network = build("segmentation", settings, 2, pretrained=False)
    path = results / "segmentation/network.safetensors"
    write_network(path, network, "segmentation", settings, ["cat", "dog"])


@pytest.fixture(scope="module")
def unscored(tmp_path_factory) -> Path:
    """A run on the folder without masks whose stages are made up; scores and figures are true."""
    run = tmp_path_factory.mktemp("folder")
    config = write_folder(run)
    write_stages(run)
    last = ["list_names", "index_images", "metrics", "figure_stages", "figure_predictions", "all"]
    last += ["package_model", "figure_exponents", "figure_trainings"]
    last += ["draw_review", "review", "summary", "check_labels"]
    snakemake(run, "--allowed-rules", *last, "--", "all", config=config)
    return run


def test_folder_without_masks_has_all_but_scores(unscored):
    results = unscored / "results"
    assert {path.name for path in (results / "figures").iterdir()} == {
        "stages.png",
        "predictions.png",
        "exponents.png",
        "trainings.png",
    }
    assert (results / "metrics.csv").read_text() == (
        "stage,split,class,iou,precision,recall,missed,flooded,confused,border,images\n"
    )
    assert "no true masks" in (results / "model_card.md").read_text()
    assert not (results / "metrics").exists()
    checks = label_warning.read_checks([results / "pseudo_labels/check.csv"])
    assert checks["image"].tolist() == sorted(TRAIN)
    assert "6 of 6 pseudo labels are empty" in (results / "logs/check_labels.log").read_text()


def test_folder_plans_what_its_masks_and_val_allow(tmp_path):
    """Of a folder without masks; of one without val, too."""
    config = write_folder(tmp_path)
    unsplit = tmp_path / "unsplit.yaml"
    rows = (tmp_path / "mine/labels.csv").read_text().splitlines()
    write_text(tmp_path / "mine/unsplit.csv", "\n".join(row.rpartition(",")[0] for row in rows))
    dataset = yaml.safe_load(config.read_text())["dataset"]
    dataset |= {"labels": "unsplit.csv", "val_fraction": 0}
    unsplit.write_text(yaml.safe_dump({**TINY, "dataset": dataset}))
    runs = [DryRun(tmp_path, each, targets=("all",)) for each in (config, unsplit)]
    rules = ["index_images", *PER_SHARD, "make_prototypes", "train_cam", "train_affinity"]
    trained = dict.fromkeys([*rules, "train_segmentation", "metrics", "figure_stages"], 1)
    trained |= {"package_model": 1, "figure_exponents": 1, "figure_trainings": 1}
    trained |= {"draw_review": 1, "review": 1, "summary": 1, "check_labels": 1}
    val = {"index_images": 2, "predict_segmentation": 1, "figure_predictions": 1}
    assert jobs_to_run(runs) == [trained | {"list_names": 1} | val, trained | {"list_names": 1}]


def test_folder_is_scored_where_it_has_masks(unscored, tmp_path):
    """Of c0, d0 and val's images; what the stages made of the folder without masks stands."""
    run = tmp_path / "run"
    shutil.copytree(unscored, run, symlinks=True)
    (run / "results/metrics.csv").unlink()  # of a finished run, missing networks are made again
    for image in ("cats/c0", "d0", "cats/v0", "v1"):
        mask = np.zeros((48, 64), np.uint8)
        mask[10:30, 20:50] = label_of(image)
        mask[:4] = 255
        (run / "mine/masks" / image).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(run / f"mine/masks/{image}.png")
    scoring = ["list_names", "index_images", "index_masks", "summary", "metrics"]
    scoring += [f"evaluate_{stage}" for stage in STAGES]
    config = preset(run, format="folder", root=str(run / "mine"))
    snakemake(run, "--allowed-rules", *scoring, "--", "results/metrics.csv", config=config)

    table = pd.read_csv(run / "results/metrics.csv").set_index(["stage", "class"])
    assert tuple(table.index.unique("stage")) == STAGES
    assert list(table.loc["pseudo_labels"].index) == ["background", "cat", "dog", "mean"]
    assert set(table["images"]) == {2}
    for stage, folder, images in (
        ("walk", "walk/labels", ("cats/c0", "d0")),
        ("pseudo_labels", "pseudo_labels", ("cats/c0", "d0")),
        ("segmentation", "segmentation/predictions", ("cats/v0", "v1")),
    ):
        true = np.stack([np.array(Image.open(run / f"mine/masks/{i}.png")) for i in images])
        files = [f"{run}/results/{folder}/{image.replace('/', '__')}.png" for image in images]
        found = np.stack([np.array(Image.open(file)) for file in files])[true != 255]
        true = true[true != 255]
        for index, name in enumerate(("background", "cat", "dog")):
            both, either = (found == index) & (true == index), (found == index) | (true == index)
            iou = 100 * both.sum() / either.sum()
            assert table.loc[(stage, name), "iou"] == pytest.approx(iou, abs=1e-3)


# --- a test set, for VOC's server -----------------------------------------------------------------

SUBMISSION = "results/VOC2012/Segmentation/comp6_test_cls"


def test_submission_has_vocs_layout_indices_and_palette(tmp_path):
    devkit, tested = tmp_path / "VOC2012", {"2008_000002": (64, 48), "2008_000001": (48, 64)}
    trained = [f"2007_{number:06}" for number in range(TINY["cam"]["training"]["batch_size"])]
    for number, image in enumerate(trained):
        write_image(devkit / f"JPEGImages/{image}.jpg")
        name = ("sheep", "cat")[number % 2]
        write_text(devkit / f"Annotations/{image}.xml", annotation(name))
    for image, size in tested.items():  # neither masks nor annotations
        write_image(devkit / f"JPEGImages/{image}.jpg", size=size)
    write_lists(devkit, train=" ".join(trained), val="", test=" ".join(tested))
    # sheep is 17 in VOC, cat 8; here they are 1 and 2
    dataset = {"format": "voc", "root": str(devkit), "test": "test", "classes": ["sheep", "cat"]}
    config = preset(tmp_path, **dataset, train_aug="train", train="val")
    whole = complete(yaml.safe_load(config.read_text()), SCHEMA)
    settings, longest_side = whole["segmentation"], whole["longest_side"]
    images = {image: read_image(devkit / f"JPEGImages/{image}.jpg") for image in tested}
    for seed in range(SEED, SEED + 100):  # the first network that sees several classes in each
        torch.manual_seed(seed)
        network = build("segmentation", settings["network"], 2).eval()
        expected = {
            image: segmentation.predict(
                network,
                [resized(pixels, longest_side)],
                size=pixels.shape[:2],
                **settings["inference"],
            )[0]
            for image, pixels in images.items()
        }
        if all(len(np.unique(labels)) > 1 for labels in expected.values()):
            break
    path = tmp_path / "results/segmentation/network.safetensors"
    write_network(path, network, "segmentation", settings["network"], ["sheep", "cat"])

    allowed = ["--allowed-rules", "index_images", "predict_test", "submission"]
    target = ["--config", "device=cpu", "--", "results/submission.tar.gz"]
    snakemake(tmp_path, *allowed, *target, config=config)

    with tarfile.open(tmp_path / "results/submission.tar.gz", "r:gz") as archive:
        assert archive.getnames() == [f"{SUBMISSION}/{image}.png" for image in sorted(tested)]
        archive.extractall(tmp_path / "server")
    for image, labels in expected.items():
        assert len(np.unique(labels)) > 1  # else no index would be tested
        with Image.open(tmp_path / "server" / SUBMISSION / f"{image}.png") as label_map:
            assert label_map.mode == "P"
            assert label_map.getpalette() == VOC_PALETTE
            np.testing.assert_array_equal(label_map, np.array([0, 17, 8])[labels])
