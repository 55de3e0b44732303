"""Presets for VOC 2012: planned, run on a tiny devkit; published weights put in."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from dry_runs import DryRun, jobs_to_run, rules_of
from PIL import Image
from published import (
    RESNET38,
    RESNET38_AFFINITY,
    RESNET38_CAM,
    VGG16,
    VGG16_AFFINITY,
    VGG16_CAM,
    random_state,
)
from safetensors.torch import load_file
from seeds import ROOT, SEED
from snakemake.utils import update_config
from workflow_runs import jobs_of, snakemake

from psa_core.datasets.decode import read_image
from psa_core.datasets.formats.voc import CLASSES
from psa_core.datasets.index import describe_images, read_images, write_images
from psa_core.method import affinity, cam, segmentation
from psa_core.networks.files import read_network
from psa_core.runtime.artifacts import read_lines
from psa_core.training.loop import Examples, Machine, Outputs, train

CPU = torch.device("cpu")
PRESETS = ["voc12_resnet38", "voc12_release", "voc12_vgg16", "voc12_resnet50", "voc12_dinov2"]
STAGES = ("cam", "affinity", "segmentation")


def limited(folder: Path, preset: str, limits: dict) -> Path:
    """A preset with some of its settings replaced, as a file in the folder of a run."""
    config = yaml.safe_load((ROOT / f"config/{preset}.yaml").read_text())
    update_config(config, limits)
    path = folder / f"{preset}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


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


@pytest.fixture
def many_names(tmp_path) -> Path:
    """A devkit of some 20 images in each of 64 shards of train_aug and of val; files are empty."""
    root = tmp_path / "VOC2012"
    train = [f"2008_{i:06}" for i in range(1_300)]
    val = [f"2009_{i:06}" for i in range(1_300)]
    for folder, suffix in (("JPEGImages", "jpg"), ("SegmentationClassAug", "png")):
        (root / folder).mkdir(parents=True)
        for name in train + val:
            (root / folder / f"{name}.{suffix}").touch()
    lists = root / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    for key, names in {"train_aug": train, "train": train[:160], "val": val}.items():
        (lists / f"{key}.txt").write_text("\n".join(names) + "\n")
    labels = [f"{name},{';'.join(CLASSES)}" for name in train + val]
    (root / "labels.csv").write_text("\n".join(["image,labels", *labels]))
    return root


def test_presets_are_planned(many_names, tmp_path):
    """64 shards of the training images and 64 of val, the same for each preset."""
    random = {stage: {"network": {"weights": "random"}} for stage in STAGES}  # no file is there
    limits = {"dataset": {"root": str(many_names)}, **random}
    runs = [
        DryRun(tmp_path, limited(tmp_path, preset, limits), targets=("results/metrics.csv",))
        for preset in PRESETS
    ]
    per_shard = ("infer_cam", "make_affinity_labels", "infer_affinity", "run_walk")
    per_shard += ("make_pseudo_labels", "predict_segmentation")
    jobs = {
        "list_names": 3,
        **dict.fromkeys(("index_images", "index_masks"), 64 + 64),
        **{f"train_{stage}": 1 for stage in STAGES},
        **dict.fromkeys(per_shard, 64),
        **{f"evaluate_{stage}": 1 for stage in ("cam", "walk", "pseudo_labels", "segmentation")},
        "check_labels": 1,
        "metrics": 1,
        "summary": 1,
    }
    *papers, dinov2 = jobs_to_run(runs)
    assert papers == [jobs] * (len(PRESETS) - 1)
    assert dinov2 == {**jobs, "make_prototypes": 1}


@pytest.fixture
def devkit(tmp_path, rng) -> Path:
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
        Image.fromarray(mask).save(root / f"SegmentationClass/{name}.png")
        objects = "".join(f"<object><name>{c}</name></object>" for c in CLASSES[i % 4 :: 4])
        (root / f"Annotations/{name}.xml").write_text(f"<annotation>{objects}</annotation>")
    for key, part in {"train_aug": names[:4], "train": names[:4], "val": names[4:]}.items():
        (root / f"ImageSets/Segmentation/{key}.txt").write_text("\n".join(part) + "\n")
    return root


def tiny(devkit: Path) -> dict:
    """Limits under which a preset runs in a minute; its networks are whole."""
    training = {
        "epochs": 1,
        "least_steps": 0,
        "batch_size": 4,
        "crop_size": 32,
        "longest_side": [32, 32],
    }
    stage = {"network": {"weights": "random"}, "training": training}
    enlarged = training | {"crop_size": 96, "longest_side": [96, 96]}  # cells beyond the border
    dcrf = {"iterations": 1}
    return {
        "seed": SEED,
        "dataset": {"root": str(devkit), "shards": 1},
        "cam": stage | {"inference": {"scales": [1.0], "flip": False}},
        "affinity_labels": {"dcrf": dcrf},
        "affinity": stage | {"training": enlarged},
        "pseudo_labels": {"dcrf": dcrf},
        "segmentation": stage | {"inference": {"scales": [1.0], "flip": False}},
    }


@pytest.mark.parametrize("preset", ["voc12_vgg16", "voc12_resnet50", "voc12_dinov2"])
def test_networks_of_a_preset_learn_and_predict(preset, devkit, tmp_path):
    """Each is trained for one step, from noise, and used, with the parameters of the rules."""
    (rules,) = rules_of(tmp_path, [limited(tmp_path, preset, tiny(devkit))])
    names = read_lines(devkit / "ImageSets/Segmentation/train_aug.txt")
    table = describe_images(
        {"format": "voc", "root": str(devkit), "classes": None, "train_aug": "train_aug"}, names
    )
    write_images(tmp_path / "images.csv", table)
    rows = read_images(tmp_path / "images.csv")
    masks = [devkit / f"SegmentationClass/{row.image}.png" for row in rows]
    targets = {"cam": cam.label_vectors([row.classes for row in rows], 20)}
    networks = {stage: tmp_path / f"{stage}.safetensors" for stage in STAGES}
    for stage, method in zip(STAGES, (cam, affinity, segmentation), strict=True):
        train(
            stage,
            method.losses,
            Examples(rows, targets.get(stage, masks), CLASSES, "VOC2012", None),
            rules[f"train_{stage}"].params["settings"] | {"code": ""},
            Machine("cpu", devices=1, threads=1),
            Outputs(networks[stage], tmp_path / f"{stage}.csv", tmp_path / f"{stage}_checkpoints"),
        )
        (loss,) = pd.read_csv(tmp_path / f"{stage}.csv")["loss"]
        assert 0 < loss < np.inf

    pixels, present = read_image(rows[0].path), rows[0].classes
    settings = dict(rules["infer_cam"].params["settings"])
    assert settings.pop("longest_side") is None  # as in the paper
    network = read_network(networks["cam"], CPU, output_stride=settings.pop("output_stride"))
    (maps,) = cam.class_activation_maps(network, [pixels], [present], **settings)
    assert maps.shape == (5, 6, 7)  # at stride 8: ceil(44 / 8) x ceil(52 / 8)
    assert maps.min() >= 0
    settings = dict(rules["infer_affinity"].params["settings"])
    settings.pop("longest_side")
    (edges,) = affinity.edges(read_network(networks["affinity"], CPU), [pixels], **settings)
    assert edges.shape == (34, 6, 6)  # of the image at 48 x 48, the nearest multiples of 8
    assert 0 <= np.nanmin(edges) <= np.nanmax(edges) <= 1
    settings = dict(rules["predict_segmentation"].params["settings"])
    settings.pop("longest_side")
    network = read_network(networks["segmentation"], CPU)
    (labels,) = segmentation.predict(network, [pixels], **settings)
    assert labels.shape == (44, 52)
    assert labels.max() <= 20


@pytest.mark.slow  # one to three minutes each
@pytest.mark.parametrize("preset", PRESETS)
def test_presets_run(preset, devkit, tmp_path):
    """The whole workflow: all three networks trained for one step, from noise, and used."""
    config = limited(tmp_path, preset, tiny(devkit))
    target = "results/segmentation/predictions/val_0.txt"
    snakemake(tmp_path, "--", target, config=config)
    with Image.open((tmp_path / target).with_name("2007_000005.png")) as prediction:
        assert prediction.size == (52, 44)
        assert np.array(prediction).max() <= 20
    losses = {stage: pd.read_csv(tmp_path / f"results/{stage}/losses.csv") for stage in STAGES}
    assert all(np.isfinite(table["loss"][0]) and table["loss"][0] > 0 for table in losses.values())
    shutil.rmtree(tmp_path / "results")  # gigabytes, and pytest keeps its folders


RELEASED = {  # published layers and heads, by the backbone that has them
    "resnet38": ("voc12_release", RESNET38, RESNET38_CAM, RESNET38_AFFINITY),
    "vgg16": ("voc12_vgg16", VGG16, VGG16_CAM, VGG16_AFFINITY),
}
KEPT = {
    "resnet38": ("conv1a.weight", "b6.bn_branch2b2.running_var", "bn7.running_mean"),
    "vgg16": ("conv1_1.weight", "conv5_3.bias", "fc7.weight"),
}


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet38", "vgg16"])
def test_published_networks_give_maps_and_walk_without_training(backbone, devkit, tmp_path):
    """The release's two networks with random weights, in the file format of its day; on a CPU."""
    preset, layers, *heads = RELEASED[backbone]
    weights = {stage: tmp_path / f"{stage}.pth" for stage in ("cam", "affinity")}
    states = {
        stage: random_state(layers | head) for stage, head in zip(weights, heads, strict=True)
    }
    states["cam"]["fc8.weight"].abs_()  # each class is seen in rectified features
    limits = tiny(devkit)
    for stage, path in weights.items():
        torch.save(states[stage], path, _use_new_zipfile_serialization=False)
        limits[stage] |= {"train": False, "network": {"weights": str(path)}}
    config = limited(tmp_path, preset, limits)
    target = "results/walk/scores/train_aug_0.txt"
    assert jobs_of(snakemake(tmp_path, "--", target, config=config)) == {
        "list_names": 1,
        "index_images": 1,
        "import_network": 2,
        "infer_cam": 1,
        "infer_affinity": 1,
        "run_walk": 1,
    }
    results = tmp_path / "results"
    for stage, state in states.items():
        kept = load_file(results / stage / "network.safetensors")
        for name in KEPT[backbone]:
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
    (rerun,) = jobs_to_run([DryRun(tmp_path, config, targets=(target,))])
    assert rerun == {"import_network": 1, "infer_affinity": 1, "run_walk": 1}
    shutil.rmtree(results)
    for path in weights.values():
        path.unlink()
