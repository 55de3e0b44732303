"""Presets for VOC 2012: planned at full size, run on a tiny devkit; published weights put in."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from published import RESNET38, RESNET38_AFFINITY, RESNET38_CAM, random_state
from seeds import SEED

from psa_core.datasets.voc import CLASSES

ROOT = Path(__file__).parents[1]
SNAKEMAKE = [str(Path(sys.executable).parent / "snakemake"), "--snakefile", str(ROOT / "Snakefile")]
PROFILE = ["--workflow-profile", str(ROOT / "profiles/default")]
PRESETS = ["voc12_resnet38", "voc12_release", "voc12_vgg16", "voc12_resnet50"]
STAGES = ("cam", "affinity", "segmentation")


def run(folder, preset, limits, *arguments):
    """A preset with limits laid over it; what Snakemake prints. Fails the test where it fails."""
    path = folder / "limits.yaml"
    path.write_text(yaml.safe_dump(limits))
    configs = ["--configfile", str(ROOT / f"config/{preset}.yaml"), str(path)]
    command = [*SNAKEMAKE, "--directory", str(folder), "--cores", "2", *PROFILE, *configs]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout + done.stderr


def test_release_preset_divides_the_affinity_loss_by_four():
    """Its steps on the whole loss are those of the release's 0.1 and 0.0005 on a quarter of it."""
    preset = yaml.safe_load((ROOT / "config/voc12_release.yaml").read_text())
    ours = preset["affinity"]["training"]["optimizer"]
    theirs = {"learning_rate": 0.1, "weight_decay": 0.0005}
    ends = []
    for options, share in ((ours, 1.0), (theirs, 0.25)):
        weight = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD(
            [weight],
            lr=options["learning_rate"],
            momentum=ours["momentum"],
            weight_decay=options["weight_decay"],
        )
        for _ in range(3):
            optimizer.zero_grad()
            (share * (weight**4).sum()).backward()
            optimizer.step()
        ends.append(weight.detach())
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-12, atol=0)


@pytest.fixture(scope="module")
def full_size(tmp_path_factory):
    """A devkit with VOC's numbers of names, each file empty."""
    root = tmp_path_factory.mktemp("full") / "VOC2012"
    train = [f"2008_{i:06}" for i in range(10_582)]
    val = [f"2009_{i:06}" for i in range(1_449)]
    for folder, suffix in (("JPEGImages", "jpg"), ("SegmentationClassAug", "png")):
        (root / folder).mkdir(parents=True)
        for name in train + val:
            (root / folder / f"{name}.{suffix}").touch()
    lists = root / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    for key, names in {"train_aug": train, "train": train[:1464], "val": val}.items():
        (lists / f"{key}.txt").write_text("\n".join(names) + "\n")
    return root


def jobs(printed):
    """Number of jobs of each rule, from the table of a dry run."""
    counts = {}
    for line in printed.split("job ")[1].splitlines()[2:]:
        if not line.strip():
            break
        name, count = line.split()
        counts[name] = int(count)
    return counts


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_planned_at_full_size(preset, full_size, tmp_path):
    """64 shards."""
    random = {stage: {"network": {"weights": "random"}} for stage in STAGES}  # no file is there
    limits = {"dataset": {"root": str(full_size)}, **random}
    per_shard = ("infer_cam", "label_affinity", "infer_affinity", "random_walk", "refine_labels")
    assert jobs(run(tmp_path, preset, limits, "--dry-run", "--", "results/metrics.csv")) == {
        "prepare_dataset": 1,
        **{f"train_{stage}": 1 for stage in STAGES},
        **dict.fromkeys(per_shard, 64),
        "predict_segmentation": 64,
        **{f"evaluate_{stage}": 1 for stage in ("cam", "walk", "labels", "segmentation")},
        "metrics": 1,
        "total": 393,
    }


@pytest.fixture
def devkit(tmp_path, rng):
    """Four training images and two for validation, each of five classes, noise with one square."""
    root = tmp_path / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "Annotations", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    names = [f"2007_{i:06}" for i in range(6)]
    for i, name in enumerate(names):
        image = rng.integers(0, 256, (44, 52, 3), dtype=np.uint8)
        mask = np.zeros((44, 52), np.uint8)
        mask[10:30, 12:40] = 1 + i % 4
        image[mask > 0, i % 3] = 255
        Image.fromarray(image).save(root / f"JPEGImages/{name}.jpg")
        Image.fromarray(mask, mode="L").save(root / f"SegmentationClass/{name}.png")
        objects = "".join(f"<object><name>{c}</name></object>" for c in CLASSES[i % 4 :: 4])
        (root / f"Annotations/{name}.xml").write_text(f"<annotation>{objects}</annotation>")
    for key, part in {"train_aug": names[:4], "train": names[:4], "val": names[4:]}.items():
        (root / f"ImageSets/Segmentation/{key}.txt").write_text("\n".join(part) + "\n")
    return root


def tiny(devkit):
    """Limits under which a preset runs in a minute or two; its networks are whole."""
    training = {"epochs": 1, "batch_size": 2, "crop_size": 32, "longest_side": [32, 32]}
    stage = {"network": {"weights": "random"}, "training": training}
    enlarged = training | {"crop_size": 96, "longest_side": [96, 96]}  # cells beyond the border
    dcrf = {"iterations": 1}
    return {
        "seed": SEED,
        "dataset": {"root": str(devkit), "shards": 1},
        "cam": stage | {"inference": {"scales": [1.0], "flip": False}},
        "affinity": stage | {"training": enlarged, "labels": {"dcrf": dcrf}},
        "labels": {"dcrf": dcrf},
        "segmentation": stage | {"inference": {"scales": [1.0], "flip": False}},
    }


@pytest.mark.parametrize(
    "preset",
    [
        # ResNet38 has 124 million parameters: over a minute for each of its presets.
        pytest.param("voc12_resnet38", marks=pytest.mark.slow),
        pytest.param("voc12_release", marks=pytest.mark.slow),
        "voc12_vgg16",
        "voc12_resnet50",
    ],
)
def test_presets_run(preset, devkit, tmp_path):
    """All three networks trained for a step or two, from noise, and used."""
    target = "results/segmentation/predictions/2007_000005.png"
    run(tmp_path, preset, tiny(devkit), "--", target)
    with Image.open(tmp_path / target) as prediction:
        assert prediction.size == (52, 44)
        assert np.array(prediction).max() <= 20
    losses = {stage: pd.read_csv(tmp_path / f"results/{stage}/losses.csv") for stage in STAGES}
    assert all(np.isfinite(table["loss"][0]) and table["loss"][0] > 0 for table in losses.values())
    shutil.rmtree(tmp_path / "results")  # gigabytes, and pytest keeps its folders


def test_published_networks_give_maps_and_walk_without_training(devkit, tmp_path):
    """The release's two networks at random, in the format of its day; on a CPU."""
    weights = {"cam": tmp_path / "res38_cls.pth", "affinity": tmp_path / "res38_aff.pth"}
    heads = {"cam": RESNET38_CAM, "affinity": RESNET38_AFFINITY}
    states = {stage: random_state(RESNET38 | head) for stage, head in heads.items()}
    states["cam"]["fc8.weight"].abs_()  # each class is seen in rectified features
    for stage, path in weights.items():
        torch.save(states[stage], path, _use_new_zipfile_serialization=False)
    limits = tiny(devkit)
    for stage, path in weights.items():
        limits[stage] |= {"train": False, "network": {"weights": str(path)}}
    printed = run(
        tmp_path, "voc12_release", limits, "--", "results/walk/scores/2007_000002.npy",
        "results/cam/maps/2007_000002.npy",
    )  # fmt: skip
    assert jobs(printed) == {
        "prepare_dataset": 1,
        "import_cam_network": 1,
        "infer_cam_of_image": 1,
        "import_affinity_network": 1,
        "infer_affinity": 1,
        "random_walk_of_image": 1,
        "total": 6,
    }
    results = tmp_path / "results"
    for stage, state in states.items():
        kept = torch.load(results / stage / "network.pt", weights_only=True)["state"]
        for name in ("conv1a.weight", "b6.bn_branch2b2.running_var", "bn7.running_mean"):
            assert torch.equal(kept[f"backbone.{name}"], state[name])
    maps = np.load(results / "cam/maps/2007_000002.npy")
    assert maps.shape == (5, 6, 7)  # ceil(44 / 8) x ceil(52 / 8)
    np.testing.assert_allclose(maps.max((1, 2)), 1, atol=1e-3)
    scores = np.load(results / "walk/scores/2007_000002.npy")
    assert scores.shape == (1 + 5, 6, 6)  # of the image at 48 x 48, the nearest multiples of 8
    assert scores.std() > 0

    weights["cam"].touch()  # newer, but the same
    torch.save(states["affinity"], weights["affinity"])  # another file of the same name,
    os.utime(weights["affinity"], (0, 0))  # and older
    target = "results/walk/scores/2007_000002.npy"
    printed = run(tmp_path, "voc12_release", limits, "--dry-run", "--", target)
    rerun = ("import_affinity_network", "infer_affinity", "random_walk_of_image")
    assert jobs(printed) == dict.fromkeys(rerun, 1) | {"total": 3}
    shutil.rmtree(results)
    for path in weights.values():
        path.unlink()
