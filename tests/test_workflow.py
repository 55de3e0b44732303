"""The workflow itself: one true run of all stages, and what reruns after it."""

import ast
import itertools
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from seeds import TINY_YAML

ROOT = Path(__file__).parents[1]
SNAKEMAKE = [str(Path(sys.executable).parent / "snakemake"), "--snakefile", str(ROOT / "Snakefile")]
STAGES = ["cam", "walk", "labels", "segmentation"]
TABLES = ["labels", "segmentation", "val_labels", "boundaries"]
SWEEP = "results/sweeps/random_walk.csv"
# Class indices of the scenes by VOC's: cat, cow, dog, horse, person, sheep.
SCENE_INDEX = {8: 1, 10: 2, 12: 3, 13: 4, 15: 5, 17: 6}


def run(folder: Path, *arguments: str, config: Path = TINY_YAML):
    """Run the workflow in a folder."""
    command = [*SNAKEMAKE, "--directory", str(folder), "--cores", "2", "--configfile", str(config)]
    profile = ["--workflow-profile", str(ROOT / "profiles/default")]
    return subprocess.run(
        [*command, *profile, *arguments], capture_output=True, text=True, check=False
    )


def snakemake(folder: Path, *arguments: str, config: Path = TINY_YAML) -> str:
    """What a run prints. Fails the test where it fails."""
    done = run(folder, *arguments, config=config)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout + done.stderr


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    """A copy of the finished folder, to change."""
    shutil.copytree(finished, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy"


def test_metrics_have_each_stage_and_class(finished):
    table = pd.read_csv(finished / "results/metrics.csv")
    assert list(table) == ["stage", "split", "class", "iou", "precision", "recall", "images"]
    assert list(table["stage"].unique()) == STAGES
    for stage, rows in table.groupby("stage"):
        split, images = ("val", 4) if stage == "segmentation" else ("train", 12)
        assert set(rows["split"]) == {split}
        assert set(rows["images"]) == {images}
        assert rows["class"].iloc[0] == "background"
        assert rows["class"].iloc[-1] == "mean"
        assert rows["iou"].iloc[-1] == pytest.approx(rows["iou"].iloc[:-1].mean(), abs=1e-3)


def test_tables_have_the_scores_beside_the_published_ones(finished):
    tables = {name: pd.read_csv(finished / f"results/tables/{name}.csv") for name in TABLES}
    assert list(tables["labels"]) == ["stage", "split", "images", "miou", "published"]
    metrics = pd.read_csv(finished / "results/metrics.csv").query("`class` == 'mean'")
    miou = metrics.set_index("stage")["iou"]
    labels = tables["labels"].set_index("stage")
    assert list(labels.index) == ["superpixels", "cam", "walk", "labels"]
    assert labels["miou"].drop("superpixels").to_dict() == miou.drop("segmentation").to_dict()
    assert labels["published"].drop("superpixels").tolist() == [48.0, 58.1, 59.7]
    val = tables["val_labels"].set_index("stage")
    assert list(val.index) == STAGES
    assert set(val["split"]) == {"val"}
    assert set(val["images"]) == {4}
    assert val["published"].tolist() == [46.8, 57.0, 58.7, 61.7]
    assert val.loc["segmentation", "miou"] == miou["segmentation"]
    models = tables["segmentation"].set_index("class")
    assert list(models.index) == [
        "background",
        "cat",
        "cow",
        "dog",
        "horse",
        "person",
        "sheep",
        "mean",
    ]
    assert models.loc["mean", "segmentation"] == miou["segmentation"]
    assert models.loc["mean", "recovered"] == pytest.approx(
        100 * miou["segmentation"] / models.loc["mean", "upper_bound"], abs=1e-3
    )
    boundaries = tables["boundaries"].iloc[0]
    assert boundaries["images"] == 4
    assert 0 < boundaries["ods"] <= boundaries["ois"] < 100


def test_sweep_has_the_scores_of_the_walk_itself(finished, copy):
    """Of the settings of the run, and of others when the walk is made with them."""
    table = pd.read_csv(finished / SWEEP).set_index(["alpha", "beta", "log2_t"])
    assert list(table) == ["miou", "precision", "recall", "images"]
    assert list(table.index) == list(itertools.product([2, 4], [4, 8], [6, 8]))
    assert table["miou"].nunique() > 4
    assert (finished / SWEEP).with_suffix(".png").exists()
    other = "walk={alpha: 2, beta: 4, log2_t: 6}"
    snakemake(copy, "--config", other, "--", "results/metrics/walk.csv")
    for settings, folder, scores in [
        ((4, 8, 8), finished, "metrics.csv"),
        ((2, 4, 6), copy, "metrics/walk.csv"),
    ]:
        rows = pd.read_csv(folder / "results" / scores).query("stage == 'walk'")
        mean = rows.set_index("class").loc["mean", ["iou", "precision", "recall", "images"]]
        assert table.loc[settings].tolist() == mean.tolist()


def test_another_grid_runs_the_sweep_alone(finished):
    change = "sweeps={walk: {log2_t: [5]}}"
    assert rules_to_run(finished, change, SWEEP) == {"sweep_random_walk", "table_sweep"}
    assert rules_to_run(finished, "walk={alpha: 3}", SWEEP) == set()


def test_true_masks_train_the_upper_bound_and_those_of_cats_affinitynet(finished):
    results, cats = finished / "results", 0
    index = pd.read_csv(results / "dataset/index.csv").query("train_aug == 1")
    for image, path in zip(index["image"], index["mask"], strict=True):
        mask = np.array(Image.open(finished / path))
        classes = np.isin(mask, [0, 255]) * mask
        for value, k in SCENE_INDEX.items():
            classes[mask == value] = k
        upper_bound = np.array(Image.open(results / f"upper_bound/labels/{image}.png"))
        np.testing.assert_array_equal(upper_bound, classes)
        if (classes == 1).any():
            cats += 1
            known = np.array(Image.open(results / f"affinity/labels/{image}.png"))
            np.testing.assert_array_equal(known[classes <= 1], classes[classes <= 1])
    assert 0 < cats < len(index)


def test_a_second_folder_has_the_same_bytes(finished, tmp_path):
    """All that is made, but for logs and times."""
    targets = ["results/metrics.csv", "results/tables/boundaries.csv", "results/figures/stages.png"]
    snakemake(tmp_path, "--", *targets)
    made = {path.relative_to(tmp_path) for path in artifacts_of(tmp_path)}
    assert {path.suffix for path in made} >= {".csv", ".pt", ".npy", ".png", ".h5", ".txt"}
    assert len(made) > 100
    differ = [p for p in made if (tmp_path / p).read_bytes() != (finished / p).read_bytes()]
    assert differ == []


def artifacts_of(folder: Path) -> list[Path]:
    """Files under results/ that tell nothing of the time that they took."""
    files = (path for path in (folder / "results").rglob("*") if path.is_file())
    return [f for f in files if not {"logs", "benchmarks"} & set(f.parts) and f.name[0] != "."]


def test_a_training_on_two_devices(copy):
    """Snakemake's script is started once more; the first process alone writes."""
    (copy / "results/cam/network.pt").unlink()
    target = "results/cam/network.pt"
    printed = snakemake(copy, "--config", "devices=2", "device=cpu", "--", target)
    assert "MEMBER: 2/2" in printed
    log = (copy / "results/logs/train_cam.log").read_text()
    assert log.count("epoch 4/4") == log.count("done in") == 1
    assert (copy / "results/cam/losses.csv").read_text().count("\n") == 1 + 4
    assert not any((copy / "results/.checkpoints").iterdir())


def test_class_maps_of_another_method(copy):
    """Maps taken from a folder go the same way; no network is trained or asked."""
    shutil.copytree(copy / "results/cam/maps", copy / "theirs")
    image = next((copy / "theirs").glob("*.npy")).stem
    maps = np.load(copy / f"theirs/{image}.npy")
    np.save(copy / f"theirs/{image}.npy", 4 * maps.astype(np.float64))
    (copy / "results/cam/network.pt").unlink()
    arguments = ["--config", "cam={maps: theirs}", "--", f"results/cam/maps/{image}.npy"]
    printed = snakemake(copy, *arguments)
    assert "rule import_cam:" in printed
    assert not (copy / "results/cam/network.pt").exists()
    imported = np.load(copy / f"results/cam/maps/{image}.npy")
    assert imported.dtype == np.float16
    greatest = maps.max((1, 2), keepdims=True)
    expected = np.divide(maps, greatest, out=np.zeros_like(maps), where=greatest > 0)
    np.testing.assert_allclose(imported, expected, atol=1e-3)
    after_maps = {"label_affinity", "random_walk", "refine_labels"}
    after_maps |= {"train_affinity", "infer_affinity", "train_segmentation", "predict_segmentation"}
    scores = {"metrics", *(f"evaluate_{stage}" for stage in STAGES)}
    rules = rules_to_run(copy, "cam={maps: theirs}")
    assert rules == {"import_cam"} | after_maps | scores


def test_artifacts_are_as_documented(finished):
    results = finished / "results"
    index = pd.read_csv(results / "dataset/index.csv").set_index("image")
    for image, row in index[index["train_aug"] == 1].iterrows():
        maps = np.load(results / f"cam/maps/{image}.npy")
        classes = len(row["labels"].split(";"))
        assert maps.dtype == np.float16
        assert maps.shape == (classes, -(-row["height"] // 8), -(-row["width"] // 8))
        scores = np.load(results / f"walk/scores/{image}.npy").astype(np.float32)
        assert len(scores) == classes + 1
        for folder in ("affinity/labels", "walk/labels", "labels"):
            with Image.open(results / folder / f"{image}.png") as label_map:
                assert label_map.mode == "P"
                assert label_map.size == (row["width"], row["height"])
    hidden = {path.name for path in results.rglob(".*")} - {".snakemake_timestamp"}
    assert hidden == {".checkpoints"}  # and no temporary file
    assert not any((results / ".checkpoints").iterdir())


def test_each_job_has_a_log_with_versions(finished):
    logs = list((finished / "results/logs").rglob("*.log"))
    assert len(logs) > 20
    assert [log for log in logs if "python 3." not in log.read_text()] == []
    assert [log for log in logs if "done in" not in log.read_text()] == []


def test_a_second_run_does_nothing(finished):
    assert "Nothing to be done" in snakemake(finished, "--", "results/metrics.csv")


def test_a_deleted_label_is_rebuilt_alone(copy):
    image = next((copy / "results/labels").glob("*.png"))
    before = image.read_bytes()
    image.unlink()
    printed = snakemake(copy, "--", f"results/labels/{image.name}")
    assert image.read_bytes() == before
    assert "1 of 1 steps (100%) done" in printed
    assert "rule refine_labels_of_image" in printed


def test_a_deleted_file_comes_back_when_what_needs_it_is_made(copy):
    image = next((copy / "results/walk/scores").glob("scene_0*.npy"))
    before = image.read_bytes()
    image.unlink()
    assert "Nothing to be done" in snakemake(copy, "--", "results/metrics.csv")
    (copy / f"results/labels/{image.stem}.png").unlink()
    printed = snakemake(copy, "--", f"results/labels/{image.stem}.png")
    assert image.read_bytes() == before
    assert "3 of 3 steps (100%) done" in printed  # the scores, the label, the label's shard
    image.unlink()
    for manifest in (copy / "results/labels").glob("*.txt"):
        manifest.unlink()
    snakemake(copy, "--", *(f"results/labels/train_aug_{shard}.txt" for shard in "01"))
    assert image.read_bytes() == before


def test_one_image_by_name_follows_a_changed_value(copy):
    """Its shard is made again: a file that a shard's job made has no record of its settings."""
    files = (copy / "results/walk/scores").glob("*.npy")
    scores = next(file for file in files if np.load(file)[0].std() > 0)  # not all background
    before = scores.read_bytes()
    target = f"results/walk/scores/{scores.name}"
    assert "Nothing to be done" in snakemake(copy, "--", target)
    snakemake(copy, "--config", "walk={beta: 2}", "--", target)
    assert scores.read_bytes() != before


def test_one_image_by_name_waits_for_the_shards_that_it_reads(copy):
    """Its scores are out of date, but made by their shard's job, not by one of their own."""
    image = next((copy / "results/labels").glob("*.png")).name
    shutil.rmtree(copy / "results/labels")
    printed = snakemake(copy, "--config", "walk={beta: 2}", "--", f"results/labels/{image}")
    assert "rule random_walk:" in printed
    assert "rule refine_labels_of_image:" in printed
    label = copy / "results/labels" / image
    scores = (copy / "results/walk/scores" / image).with_suffix(".npy")
    assert label.stat().st_mtime_ns > scores.stat().st_mtime_ns


def test_an_unknown_image_is_named(copy):
    done = run(copy, "--", "results/labels/nothing.png")
    assert done.returncode != 0
    assert "no image 'nothing' in the lists of the data set" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("change", "rerun"),
    [
        ("walk={beta: 4}", {"random_walk", "evaluate_walk"}),
        ("cam={alpha: 3.0}", {"evaluate_cam"}),
        ("segmentation={inference: {scales: [1.0]}}", {"predict_segmentation"}),
        ("device=cpu", set()),
    ],
)
def test_a_changed_value_reruns_what_depends_on_it(finished, change, rerun):
    after_walk = {"refine_labels", "evaluate_labels", "train_segmentation"}
    if "random_walk" in rerun:
        rerun = rerun | after_walk | {"predict_segmentation"}
    if rerun:
        rerun = rerun | {"metrics"}
    if "predict_segmentation" in rerun:
        rerun = rerun | {"evaluate_segmentation"}
    assert rules_to_run(finished, change) == rerun


def test_cached_images_train_the_same_network(finished, copy):
    """At 192 pixels, which no scene is above, the cache holds what the files hold."""
    change = ["--config", "dataset={cache: true}"]
    side = "segmentation={training: {longest_side: [64, 192]}}"
    printed = snakemake(copy, *change, side, "--", "results/cam/network.pt")
    assert "2 of 2 steps (100%) done" in printed
    index = pd.read_csv(copy / "results/dataset/index.csv").query("train_aug == 1")
    with h5py.File(copy / "results/dataset/cache.h5") as cache:
        for path in index["path"]:
            np.testing.assert_array_equal(cache[path], Image.open(copy / path).convert("RGB"))
    before, after = (
        torch.load(folder / "results/cam/network.pt", weights_only=True)["state"]
        for folder in (finished, copy)
    )
    assert all(torch.equal(before[key], after[key]) for key in before)
    # Smaller, for smaller trainings; and no longer read where it is switched off.
    assert {"cache_images", "train_cam"} <= rules_to_run(copy, "dataset={cache: true}")
    assert rules_to_run(copy, "dataset={cache: false}", "results/cam/network.pt") == {"train_cam"}


def test_a_cache_reruns_the_trainings(finished):
    rules = rules_to_run(finished, "dataset={cache: true}")
    trainings = {"train_cam", "train_affinity", "train_segmentation"}
    assert rules >= {"cache_images", "infer_cam", *trainings}
    assert not rules & {"generate_scenes", "prepare_dataset"}


def test_without_the_upper_bound_its_column_goes(finished):
    change, table = "segmentation={upper_bound: false}", "results/tables/segmentation.csv"
    assert rules_to_run(finished, change) == set()
    assert rules_to_run(finished, change, table) == {"table_segmentation"}


def rules_to_run(folder: Path, change: str, target: str = "results/metrics.csv") -> set[str]:
    """Rules of a dry run with a changed value."""
    printed = snakemake(folder, "--dry-run", "--config", change, "--", target)
    lines = [line for line in printed.splitlines() if line.startswith(("rule ", "localrule "))]
    return {line.split()[1].rstrip(":") for line in lines}


SMALL = "dataset: {format: scenes, scenes: {train: 20, val: 2}}"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("dataset: {format: voc, root: nowhere}", "dataset.root: 'nowhere' is not a folder"),
        (f"{SMALL}\ndevices: 3", "devices: 3 cannot share cam.training.batch_size, 16, equally"),
        ("dataset: {format: scenes}\nwalk: {betta: 8}", "walk.betta: unknown key"),
        (f"{SMALL}\ncam: {{maps: nowhere}}", "cam.maps: 'nowhere' is not a folder"),
        (f"{SMALL}\ncam: {{maps: .}}", "lacks the maps of 20 training images, the first is scene_"),
        (
            f"{SMALL}\naffinity: {{true_masks: [cat, bird]}}",
            "['bird'] are not classes; choose from cat, cow, dog",
        ),
    ],
)
def test_a_wrong_configuration_stops_at_once(tmp_path, config, message):
    path = tmp_path / "config.yaml"
    path.write_text(config)
    done = subprocess.run(
        [*SNAKEMAKE, "--directory", str(tmp_path), "--configfile", str(path), "--dry-run"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert message in done.stdout + done.stderr


def imports_of(path: Path) -> set[str]:
    """Top-level packages that a file imports at any place."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
    return names


def test_the_core_knows_nothing_of_the_workflow():
    modules = list((ROOT / "psa_core").rglob("*.py"))
    assert len(modules) > 20
    assert [m for m in modules if "snakemake" in imports_of(m)] == []
    text = {m: m.read_text() for m in modules}
    assert [m for m in modules if "allow_" + "pickle" in text[m]] == []
    assert [m for m in modules if "weights_only=" + "False" in text[m]] == []


def test_scripts_are_short():
    scripts = list((ROOT / "workflow/scripts").glob("*.py"))
    assert len(scripts) > 10
    assert [s for s in scripts if len(s.read_text().splitlines()) > 40] == []
