"""The workflow on other data than the scenes: folders, and VOC with a test set."""

import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from test_workflow import ROOT, snakemake

from psa_core import networks, segmentation
from psa_core.artifacts import VOC_PALETTE
from psa_core.config import complete
from psa_core.datasets.index import read_image
from psa_core.datasets.scenes.generate import generate

TINY = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text())
SCHEMA = yaml.safe_load((ROOT / "config/schema.yaml").read_text())


def preset(folder: Path, **dataset) -> Path:
    """A preset for the tiny networks and a data set, in the folder of a run."""
    path = folder / "preset.yaml"
    path.write_text(yaml.safe_dump({**TINY, "dataset": {"shards": 1, **dataset}}))
    return path


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
    torch.manual_seed(0)
    network = networks.build("segmentation", settings["network"], 2).eval()
    path = tmp_path / "results/segmentation/network.pt"
    networks.write(path, network, "segmentation", settings["network"], 2)

    allowed = ["--allowed-rules", "prepare_dataset", "predict_test_0", "submission"]
    target = ["--config", "device=cpu", "--", "results/submission.tar.gz"]
    snakemake(tmp_path, *allowed, *target, config=config)

    with tarfile.open(tmp_path / "results/submission.tar.gz", "r:gz") as archive:
        assert archive.getnames() == [f"{SUBMISSION}/{image}.png" for image in sorted(tested)]
        archive.extractall(tmp_path / "server", filter="data")
    for image in tested:
        expected = segmentation.predict(
            network, read_image(devkit / f"JPEGImages/{image}.jpg"), **settings["inference"]
        )
        assert len(np.unique(expected)) > 1  # else no index would be tested
        with Image.open(tmp_path / "server" / SUBMISSION / f"{image}.png") as label_map:
            assert label_map.mode == "P"
            assert label_map.getpalette() == VOC_PALETTE
            np.testing.assert_array_equal(label_map, np.array([0, 17, 8])[expected])
