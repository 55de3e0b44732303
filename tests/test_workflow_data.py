"""The workflow on other data than the scenes: folders, and VOC with a test set."""

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from seeds import SEED, TINY_YAML
from test_workflow import ROOT, snakemake

from psa_core import networks, segmentation
from psa_core.artifacts import VOC_PALETTE
from psa_core.config import complete
from psa_core.datasets.index import read_image
from psa_core.datasets.scenes.generate import generate

TINY = yaml.safe_load(TINY_YAML.read_text())
TINY["affinity"]["true_masks"], TINY["segmentation"]["upper_bound"] = [], False  # no masks here
SCHEMA = yaml.safe_load((ROOT / "config/schema.yaml").read_text())


def preset(folder: Path, **dataset) -> Path:
    """A preset for the tiny networks and a data set, in the folder of a run."""
    path = folder / "preset.yaml"
    path.write_text(yaml.safe_dump({**TINY, "dataset": {"shards": 1, **dataset}}))
    return path


# --- folders --------------------------------------------------------------------------------------


IMAGES = ("cats/c0", "cats/c1", "cats/c2", "d0", "d1", "d2", "cats/v0", "v1")
TRAIN = {"cats__c0", "cats__c1", "cats__c2", "d0", "d1", "d2"}
VAL = {"cats__v0", "v1"}


def names(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*") if path.suffix != ".txt"}


@pytest.fixture(scope="module")
def unscored(tmp_path_factory) -> Path:
    """A run of everything on a folder of six images for training and two for val, no masks."""
    run = tmp_path_factory.mktemp("folder")
    rng = np.random.default_rng(SEED)
    rows = ["image,labels,split"]
    for name in IMAGES:
        path = run / f"mine/images/{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(path)
        label, split = "cat" if "/" in name else "dog", "val" if "v" in name else "train"
        rows.append(f"{name}.jpg,{label},{split}")
    (run / "mine/labels.csv").write_text("\n".join(rows))
    snakemake(run, config=preset(run, format="folder", root=str(run / "mine")))
    return run


def test_folder_without_masks_has_all_but_scores(unscored):
    results = unscored / "results"
    for stage in ("cam/maps", "affinity/labels", "walk/scores", "walk/labels", "labels"):
        assert names(results / stage) == TRAIN
    assert names(results / "segmentation/predictions") == VAL
    assert names(results / "figures") == {"stages", "predictions"}
    assert (results / "metrics.csv").read_text() == (
        "stage,split,class,iou,precision,recall,images\n"
    )
    assert not (results / "metrics").exists()


def test_folder_without_val_ends_with_the_model(unscored, tmp_path):
    rows = (unscored / "mine/labels.csv").read_text().splitlines()
    shutil.copytree(unscored / "mine", tmp_path / "mine")
    (tmp_path / "mine/labels.csv").write_text("\n".join(row.rsplit(",", 1)[0] for row in rows))
    config = preset(tmp_path, format="folder", root=str(tmp_path / "mine"), val_fraction=0)
    printed = snakemake(tmp_path, "--dry-run", config=config)
    rules = {line.split()[1] for line in printed.splitlines() if line.startswith("rule ")}
    stages = ("infer_cam", "label_affinity", "infer_affinity", "random_walk", "refine_labels")
    trained = {f"train_{stage}:" for stage in ("cam", "affinity", "segmentation")}
    others = {"prepare_dataset:", "metrics:", "figure_stages:", "all:"}
    assert rules == {f"{stage}:" for stage in stages} | trained | others
    assert "results/labels/train_aug_0.txt" in printed
    assert "val_0" not in printed


def test_folder_is_scored_where_it_has_masks(unscored, tmp_path):
    """Of c0, d0 and val's images; the stages of the run without masks stand."""
    run = tmp_path / "run"
    shutil.copytree(unscored, run, symlinks=True)
    for image in ("cats/c0", "d0", "cats/v0", "v1"):
        mask = np.zeros((48, 64), np.uint8)
        mask[10:30, 20:50] = 1 if "/" in image else 2
        mask[:4] = 255
        (run / "mine/masks" / image).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(run / f"mine/masks/{image}.png")
    stages = ("cam", "walk", "labels", "segmentation")
    scoring = ["prepare_dataset", "metrics", *(f"evaluate_{stage}" for stage in stages)]
    config = preset(run, format="folder", root=str(run / "mine"))
    snakemake(run, "--allowed-rules", *scoring, "--", "results/metrics.csv", config=config)

    table = pd.read_csv(run / "results/metrics.csv").set_index(["stage", "class"])
    assert tuple(table.index.unique("stage")) == stages
    assert list(table.loc["labels"].index) == ["background", "cat", "dog", "mean"]
    assert set(table["images"]) == {2}
    for stage, folder, images in (
        ("labels", "labels", ("cats/c0", "d0")),
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
    devkit = tmp_path / "VOC2012"
    generate(devkit, train=8, val=2, seed=0)
    tested = ["scene_50002", "scene_50001"]
    (devkit / "ImageSets/Segmentation/test.txt").write_text("\n".join(tested))
    (devkit / "ImageSets/Segmentation/val.txt").write_text("")
    for image in tested:
        (devkit / f"Annotations/{image}.xml").unlink()
        (devkit / f"SegmentationClass/{image}.png").unlink()
    dataset = {"format": "voc", "root": str(devkit), "test": "test", "limit": 8}
    # sheep is 17 in VOC, cat 8; here they are 1 and 2
    config = preset(tmp_path, **dataset, classes=["sheep", "cat"], train_aug="train")
    settings = complete(yaml.safe_load(config.read_text()), SCHEMA)["segmentation"]
    images = {image: read_image(devkit / f"JPEGImages/{image}.jpg") for image in tested}
    for seed in range(SEED, SEED + 100):  # the first network that sees several classes in each
        torch.manual_seed(seed)
        network = networks.build("segmentation", settings["network"], 2).eval()
        expected = {
            image: segmentation.predict(network, [pixels], **settings["inference"])[0]
            for image, pixels in images.items()
        }
        if all(len(np.unique(labels)) > 1 for labels in expected.values()):
            break
    path = tmp_path / "results/segmentation/network.pt"
    networks.write(path, network, "segmentation", settings["network"], 2)

    allowed = ["--allowed-rules", "prepare_dataset", "predict_test", "submission"]
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
