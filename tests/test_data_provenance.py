"""What reruns after a change of the data: of a true run on a folder of eight images."""

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from seeds import SEED, TINY_YAML
from test_presets import jobs
from test_workflow import run as run_workflow
from test_workflow import snakemake

from psa_core.datasets import shards_of

SHARDS = 4
TRAIN = [f"t{i}" for i in range(6)]
VAL = ["v0", "v1"]
TARGETS = ["results/metrics.csv", "results/tables/segmentation.csv"]
SCORES = ("cam", "walk", "labels", "segmentation", "upper_bound")
TABLES = {"prepare_dataset": 1, "metrics": 1, "table_segmentation": 1}
THEIRS = ("--config", "cam={maps: theirs}")
AREAS = "results/affinity/labels/{}.txt"


def write_image(run: Path, image: str, number: int) -> None:
    rng = np.random.default_rng(number + 1000 * SEED)
    Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(
        run / f"mine/images/{image}.png"
    )


def write_mask(run: Path, image: str, value: int) -> None:
    mask = np.zeros((40, 48), np.uint8)
    mask[10:30, 12:40] = value
    Image.fromarray(mask).save(run / f"mine/masks/{image}.png")


def write_labels(run: Path, train: list[str], val: list[str], **other: str) -> None:
    """The class of an image is that of its number, odd or even, but for `other`."""
    rows = ["image,labels,split"]
    for split, images in {"train": train, "val": val}.items():
        rows += [f"{i},{other.get(i, ('cat', 'dog')[int(i[1:]) % 2])},{split}" for i in images]
    (run / "mine/labels.csv").write_text("\n".join(rows) + "\n")


def add(run: Path, train: list[str], val: list[str]) -> None:
    """Write more images to the data set."""
    for number, image in enumerate(train + val, start=100):
        write_image(run, image, number)
    write_labels(run, TRAIN + train, VAL + val)


def of_shards(train: list[str], val: list[str]) -> dict[str, set[str]]:
    """Numbers of shards with training and with val images."""
    found = {"train_aug": set(), "val": set()}
    for shard in shards_of({"train_aug": train, "val": val}, SHARDS):
        part, number = shard.rsplit("_", 1)
        found[part].add(number)
    return found


def plan(run: Path, *arguments: str) -> dict[str, int]:
    """Number of jobs of each rule that would run."""
    printed = snakemake(run, "--dry-run", *arguments, config=run / "preset.yaml")
    if "Nothing to be done" in printed:
        return {}
    found = jobs(printed)
    del found["total"]
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A finished run, upper bound and all, on six images for training and two for val."""
    run = tmp_path_factory.mktemp("data")
    for folder in ("images", "masks"):
        (run / "mine" / folder).mkdir(parents=True)
    for number, image in enumerate(TRAIN + VAL):
        write_image(run, image, number)
        write_mask(run, image, 1 + int(image[1:]) % 2)
    write_labels(run, TRAIN, VAL)
    preset = yaml.safe_load(TINY_YAML.read_text())
    preset["affinity"]["true_masks"] = []
    preset["cam"]["training"]["epochs"] = 1
    preset["dataset"] = {"format": "folder", "root": "mine", "shards": SHARDS}
    (run / "preset.yaml").write_text(yaml.safe_dump(preset))
    snakemake(run, "--", *TARGETS, config=run / "preset.yaml")
    return run


@pytest.fixture
def run(finished, tmp_path) -> Path:
    """A copy of the finished folder, to change."""
    return Path(shutil.copytree(finished, tmp_path / "run", symlinks=True))


@pytest.fixture(scope="module")
def with_maps(finished, tmp_path_factory) -> Path:
    """The same data with class maps of another method, as far as AffinityNet's labels."""
    run = tmp_path_factory.mktemp("maps") / "run"
    shutil.copytree(finished, run, symlinks=True)
    write_maps(run, TRAIN)
    write = [AREAS.format(f"train_aug_{n}") for n in of_shards(TRAIN, [])["train_aug"]]
    snakemake(run, *THEIRS, "--", *write, config=run / "preset.yaml")
    return run


def write_maps(run: Path, images: list[str]) -> None:
    (run / "theirs").mkdir(exist_ok=True)
    for image in images:
        np.save(run / f"theirs/{image}.npy", np.linspace(0, 1, 30).reshape(1, 5, 6))


def everything(train: list[str], val: list[str]) -> dict[str, int]:
    """Jobs from the first training on, the true masks of the upper bound excepted."""
    shards = of_shards(train, val)
    stages = ("infer_cam", "label_affinity", "infer_affinity", "random_walk", "refine_labels")
    return {
        **TABLES,
        **dict.fromkeys(("train_cam", "train_affinity"), 1),
        "train_segmentation": 2,  # the model and its upper bound
        **dict.fromkeys(stages, len(shards["train_aug"])),
        "predict_segmentation": 2 * len(shards["val"]),
        **{f"evaluate_{stage}": 1 for stage in SCORES},
    }


def test_a_touched_file_reruns_nothing(run):
    for file in (run / "mine").rglob("*.*"):
        os.utime(file)
    assert plan(run, "--", *TARGETS) == {}


def test_data_that_lie_elsewhere_rerun_all(run):
    (run / "mine").rename(run / "moved")
    moved = ("--config", "dataset={root: moved}")
    expected = {
        **everything(TRAIN, VAL),
        "label_upper_bound": len(of_shards(TRAIN, [])["train_aug"]),
    }
    assert plan(run, *moved, "--", *TARGETS) == expected


def test_an_edited_training_image_reruns_the_trainings(run):
    write_image(run, "t3", 77)
    expected = everything(TRAIN, VAL)
    assert plan(run, "--", *TARGETS) == expected


def test_a_check_that_failed_is_made_again(run):
    """The index of before stays for the jobs of images that are as before."""
    write_labels(run, TRAIN, VAL, t1="bird", t3="bird", t5="bird")  # v1 alone is a dog
    for _ in range(2):
        failed = run_workflow(run, "--", *TARGETS, config=run / "preset.yaml")
        assert failed.returncode != 0
        assert "no image of train_aug shows dog" in failed.stdout + failed.stderr


def test_a_damaged_record_of_the_index_stops_nothing(run):
    """Without it every job waits for the index, which matters only where that is made again."""
    (run / "results/dataset/contents.json").write_text("[[")
    assert plan(run, "--", *TARGETS) == {}
    write_image(run, "v1", 77)
    assert plan(run, "--", *TARGETS)["train_cam"] == 1


def test_a_table_of_classes_that_was_deleted_comes_back_for_the_first_job_that_reads_it(run):
    (run / "results/dataset/classes.csv").unlink()
    (run / "results/metrics/walk.csv").unlink()
    assert plan(run, "--", "results/metrics/walk.csv")["prepare_dataset"] == 1


def test_an_edited_label_of_a_training_image_reruns_what_learns_from_it(run):
    """The upper bound learns from masks alone."""
    write_labels(run, TRAIN, VAL, t3="cat;dog")
    expected = everything(TRAIN, VAL)
    expected["train_segmentation"] -= 1
    expected["predict_segmentation"] //= 2
    del expected["evaluate_upper_bound"]
    assert plan(run, "--", *TARGETS) == expected


def test_an_edited_mask_of_a_training_image_reruns_scores_and_upper_bound(run):
    write_mask(run, "t3", 0)
    assert plan(run, "--", *TARGETS) == {
        **TABLES,
        **{f"evaluate_{stage}": 1 for stage in ("cam", "walk", "labels", "upper_bound")},
        "label_upper_bound": 1,
        "train_segmentation": 1,
        "predict_segmentation": len(of_shards([], VAL)["val"]),
    }


def test_an_edited_val_image_reruns_its_predictions(run):
    write_image(run, "v1", 77)
    assert plan(run, "--", *TARGETS) == {
        **TABLES,
        "predict_segmentation": 2,  # its shard by two models
        "evaluate_segmentation": 1,
        "evaluate_upper_bound": 1,
    }


def test_an_edited_val_mask_reruns_the_scores(run):
    write_mask(run, "v1", 0)
    expected = {**TABLES, "evaluate_segmentation": 1, "evaluate_upper_bound": 1}
    assert plan(run, "--", *TARGETS) == expected


def test_an_edited_label_of_a_val_image_is_checked_and_no_more(run):
    write_labels(run, TRAIN, VAL, v1="cat;dog")
    assert plan(run, "--", *TARGETS) == {"prepare_dataset": 1, "metrics": 1}


def test_a_changed_value_is_noticed_beside_a_changed_image(run):
    """Its jobs do not stand behind that of the index."""
    write_image(run, "v1", 77)
    planned = plan(run, "--config", "walk={beta: 4}", "--", "results/metrics.csv")
    shards = len(of_shards(TRAIN, [])["train_aug"])
    stages = ("random_walk", "refine_labels")
    assert {stage: planned[stage] for stage in stages} == dict.fromkeys(stages, shards)
    assert "label_affinity" not in planned


def test_ten_more_images_rerun_the_trainings_and_what_follows(run):
    train, val = [f"t{i}" for i in range(50, 58)], ["v50", "v51"]
    add(run, train, val)
    expected = everything(TRAIN + train, VAL + val)
    expected["train_segmentation"] -= 1  # none of them has a mask
    models = [VAL + val, val]  # the upper bound predicts the added ones alone
    expected["predict_segmentation"] = sum(len(of_shards([], each)["val"]) for each in models)
    assert plan(run, "--", *TARGETS) == expected


def test_ten_more_val_images_rerun_the_predictions_of_their_shards(run):
    val = [f"v{i}" for i in range(50, 90) if of_shards([], [f"v{i}"])["val"] <= {"0", "2"}][:10]
    add(run, [], val)
    assert of_shards([], val)["val"] == {"0", "2"}
    assert plan(run, "--", "results/metrics.csv") == {
        "prepare_dataset": 1,
        "predict_segmentation": 2,
        "evaluate_segmentation": 1,
        "metrics": 1,
    }


def test_ten_more_images_rerun_their_shards_before_the_first_training(with_maps, tmp_path):
    run = shutil.copytree(with_maps, tmp_path / "run", symlinks=True)
    added = [f"t{i}" for i in range(50, 90) if of_shards([f"t{i}"], [])["train_aug"] <= {"1", "3"}]
    added = added[:10]
    write_maps(run, added)
    add(run, added, [])
    planned = plan(run, *THEIRS, "--", "results/metrics.csv")
    per_image = ("import_cam", "label_affinity")
    assert {rule: planned[rule] for rule in per_image} == dict.fromkeys(per_image, 2)
    shards = len(of_shards(TRAIN + added, [])["train_aug"])
    after = ("infer_affinity", "random_walk", "refine_labels")
    assert {rule: planned[rule] for rule in after} == dict.fromkeys(after, shards)
    assert planned["train_affinity"] == planned["train_segmentation"] == 1
    assert "train_cam" not in planned


def test_another_methods_map_is_known_by_its_content(with_maps, tmp_path):
    run = shutil.copytree(with_maps, tmp_path / "run", symlinks=True)
    map_of_t0 = run / "theirs/t0.npy"
    (shard,) = of_shards(["t0"], [])["train_aug"]
    target = AREAS.format(f"train_aug_{shard}")
    os.utime(map_of_t0)
    assert plan(run, *THEIRS, "--", target) == {}
    np.save(map_of_t0, np.load(map_of_t0)[..., ::-1])
    os.utime(map_of_t0, (0, 0))
    assert plan(run, *THEIRS, "--", target) == {"import_cam": 1, "label_affinity": 1}


def test_a_removed_image_is_learned_from_no_more(with_maps, tmp_path):
    """What was made of it is broken here, so that a job that read it would fail."""
    run = shutil.copytree(with_maps, tmp_path / "run", symlinks=True)
    (run / "mine/images/t3.png").unlink()
    write_labels(run, [image for image in TRAIN if image != "t3"], VAL)
    (run / "results/affinity/labels/t3.png").write_text("broken")
    network = "results/affinity/network.pt"
    per_image = {"import_cam": 1, "label_affinity": 1}  # the shard of t1 and t3
    assert plan(run, *THEIRS, "--", network) == {**per_image, "train_affinity": 1}
    snakemake(run, *THEIRS, "--", network, config=run / "preset.yaml")
    assert plan(run, *THEIRS, "--", network) == {}
    listed = Counter(
        line.split()[-1]
        for manifest in (run / "results/affinity/labels").glob("train_aug_*.txt")
        for line in manifest.read_text().splitlines()
    )
    assert listed == Counter(f"{image}.png" for image in TRAIN if image != "t3")
