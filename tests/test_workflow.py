"""The workflow itself: one true run of all stages, and what reruns after it."""

import ast
import itertools
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from seeds import TINY_YAML

from psa_core import boundaries
from psa_core.artifacts import write_array, write_edges
from psa_core.pairs import neighbour_offsets

ROOT = Path(__file__).parents[1]
SNAKEMAKE = [str(Path(sys.executable).parent / "snakemake"), "--snakefile", str(ROOT / "Snakefile")]
STAGES = ["cam", "walk", "labels", "segmentation"]
TABLES = ["labels", "segmentation", "val_labels"]
SWEEP = "results/sweeps/random_walk.csv"
INDEX = "results/dataset/index.csv"
# Class indices of the scenes by VOC's: cat, cow, dog, horse, person, sheep.
CLASSES = ["cat", "cow", "dog", "horse", "person", "sheep"]
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
    assert list(models.index) == ["background", *CLASSES, "mean"]
    assert models.loc["mean", "segmentation"] == miou["segmentation"]
    assert models.loc["mean", "recovered"] == pytest.approx(
        100 * miou["segmentation"] / models.loc["mean", "upper_bound"], abs=1e-3
    )


def test_boundaries_have_the_scores_of_the_drawn_ones(finished):
    counts = []
    for row in pd.read_csv(finished / INDEX).query("val == 1").itertuples():
        drawn = np.array(Image.open(finished / f"results/boundaries/{row.image}.png")) / 255
        counts.append(boundaries.match(drawn, classes_of(finished / row.mask)))
    assert len(counts) == 4
    table = pd.read_csv(finished / "results/tables/boundaries.csv")
    pd.testing.assert_frame_equal(table, boundaries.scores(np.array(counts)), atol=1e-4)


# Images made of isolated pairs of cells: the affinity within a pair, and the class map in its left
# and in its right cell. For all settings of the sweep in tests/tiny.yaml, a class's score differs
# from the background's by more than 0.02, so rounding decides no label; and no two combinations of
# the settings label all images alike.
PAIRS = [
    (0.3, 0.5, 0.1),
    (0.3, 0.7, 0.1),
    (0.45, 0.7, 0.3),
    (0.5, 0.5, 0.2),
    (0.45, 0.4, 0.1),
    (0.35, 0.5, 0.2),
]


def write_pairs(folder: Path, images: pd.DataFrame) -> None:
    """Put pairs in place of class maps and affinities, one cell per pixel: no map is resized."""
    edges = {}
    for row in images.itertuples():
        affinity, *values = PAIRS[row.Index % len(PAIRS)]
        cells = np.resize(values, (row.height, row.width + row.width % 2))[:, : row.width]
        classes = len(row.labels.split(";"))
        maps = np.stack([cells / 2**k for k in range(classes)])  # the first class is the greatest
        write_array(folder / f"results/cam/maps/{row.image}.npy", maps)
        offsets = neighbour_offsets(5)
        edges[row.image] = np.zeros((len(offsets), row.height, row.width), np.float16)
        edges[row.image][offsets.index((0, 1)), :, 0 : row.width - 1 : 2] = affinity
    for path in (folder / "results/affinity/edges").glob("train_aug_*.h5"):
        with h5py.File(path) as file:
            listed = list(file)
        write_edges(path, ((image, edges[image]) for image in listed))


def labelled_pairs(row, alpha: float, beta: float, log2_t: int) -> np.ndarray:
    """Where an image of pairs shows its first class rather than the background, bool [H, W].

    The transition matrix of a pair is [[1, p], [p, 1]] / (1 + p), p = affinity^beta. A step keeps
    the mean of the two scores and multiplies their difference by (1 - p) / (1 + p).
    """
    affinity, *values = PAIRS[row.Index % len(PAIRS)]
    p = float(np.float16(affinity)) ** beta
    maps = np.array(values)
    kept = ((1 - p) / (1 + p)) ** 2**log2_t
    lead = maps - (1 - maps) ** alpha
    walked = lead.mean() + (lead - lead.mean()) * kept
    assert np.abs(walked).min() > 0.02
    found = np.resize(walked > 0, (row.height, row.width + row.width % 2))[:, : row.width]
    if row.width % 2:
        found[:, -1] = lead[0] > 0  # it has no other cell
    return found


def test_sweep_has_the_scores_of_the_walk_itself(copy):
    """Of each combination by a closed form, and of one by the walk's own rules."""
    images = pd.read_csv(copy / INDEX).query("train == 1")
    write_pairs(copy, images)
    walk = "walk={alpha: 2, beta: 4, log2_t: 6}"
    snakemake(copy, "--config", walk, "--", SWEEP, "results/metrics/walk.csv")
    table = pd.read_csv(copy / SWEEP).set_index(["alpha", "beta", "log2_t"])
    assert list(table) == ["miou", "precision", "recall", "images"]
    assert set(table["images"]) == {len(images)} == {12}
    expected = {}
    for settings in itertools.product([2, 4], [4, 8], [6, 8]):
        true, predicted = [], []
        for row in images.itertuples():
            true.append(classes_of(copy / row.mask))
            first = CLASSES.index(row.labels.split(";")[0]) + 1
            predicted.append(first * labelled_pairs(row, *settings))
        expected[settings] = miou(true, predicted)
    assert table["miou"].to_dict() == pytest.approx(expected, abs=1e-3)
    assert len({round(value, 2) for value in expected.values()}) == 8
    rows = pd.read_csv(copy / "results/metrics/walk.csv").set_index("class")
    mean = rows.loc["mean", ["iou", "precision", "recall", "images"]]
    assert table.loc[(2, 4, 6)].tolist() == mean.tolist()
    assert (copy / SWEEP).with_suffix(".png").exists()


def classes_of(mask: Path) -> np.ndarray:
    """A mask of the scenes with their own class indices in place of VOC's."""
    values = np.array(Image.open(mask))
    classes = np.where(values == 255, 255, 0)
    for value, k in SCENE_INDEX.items():
        classes[values == value] = k
    return classes


def miou(true: list[np.ndarray], predicted: list[np.ndarray]) -> float:
    """Mean intersection over union of all images, in per cent, by its definition."""
    masks, labels = (np.concatenate([each.ravel() for each in maps]) for maps in (true, predicted))
    labels = labels[masks != 255]
    masks = masks[masks != 255]
    unions = [((masks == k) | (labels == k)).sum() for k in range(7)]
    both = [((masks == k) & (labels == k)).sum() for k in range(7)]
    return 100 * np.mean([hits / union for hits, union in zip(both, unions, strict=True) if union])


def test_another_grid_runs_the_sweep_alone(finished):
    change = "sweeps={walk: {log2_t: [5]}}"
    assert rules_to_run(finished, change, SWEEP) == {"sweep_random_walk", "table_sweep"}
    assert rules_to_run(finished, "walk={alpha: 3}", SWEEP) == set()


def test_true_masks_train_the_upper_bound_and_those_of_cats_affinitynet(finished):
    results, cats = finished / "results", 0
    index = pd.read_csv(finished / INDEX).query("train_aug == 1")
    for image, path in zip(index["image"], index["mask"], strict=True):
        classes = classes_of(finished / path)
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
    target = next((copy / "results/walk/scores").glob("*.npy")).relative_to(copy)
    assert "Nothing to be done" in snakemake(copy, "--", str(target))
    (copy / target).write_text("old")
    snakemake(copy, "--config", "walk={beta: 2}", "--", str(target))
    assert np.load(copy / target).dtype == np.float16
    logs = (copy / "results/logs/random_walk").glob("*.log")
    assert ["'beta': 2" in log.read_text() for log in logs].count(True) == 1


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
    index = pd.read_csv(copy / INDEX).query("train_aug == 1")
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


def test_a_python_whose_path_has_spaces_runs_the_scripts(tmp_path):
    """A project in such a folder has its environment there, too."""
    environment = tmp_path / "Wälder und Tiere" / ".venv"
    venv.create(environment, with_pip=False)
    (packages,) = environment.glob("lib/python3*/site-packages")
    (packages / "ours.pth").write_text("\n".join(filter(None, [str(ROOT), *sys.path])))
    command = [str(environment / "bin/python"), "-m", "snakemake", "--cores", "1"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(tmp_path)]
    command += ["--configfile", str(TINY_YAML), "--", INDEX]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert (tmp_path / INDEX).exists()


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
