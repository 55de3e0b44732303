"""One true run of all stages: what it makes, and that true jobs do what the plan says."""

import ast
import csv
import json
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from browser import CHROMIUM, Browser
from dry_runs import DryRun, jobs_to_run
from PIL import Image
from safetensors.torch import load_file
from seeds import ROOT, TINY_YAML
from workflow_runs import jobs_of, run, snakemake

from psa_core.datasets.index import read_images, resized
from psa_core.evaluation import boundaries, label_warning
from psa_core.method import cam
from psa_core.networks.cam import PrototypeNetwork
from psa_core.networks.files import read_network
from psa_core.networks.metadata import read_metadata
from psa_core.runtime.artifacts import read_label_map, write_label_map

STAGES = ["cam", "walk", "pseudo_labels", "segmentation"]
TABLES = ["labels", "segmentation", "val_labels"]
TRAIN_TABLE = "results/dataset/images/train_aug_0.csv"
VAL_TABLE = "results/dataset/images/val_0.csv"
CLASSES = ["cat", "cow", "dog", "horse", "person", "sheep"]


def true_mask(image: str) -> np.ndarray:
    return np.array(Image.open(ROOT / f"examples/scenes/masks/{image}.png"))


# --- what a run makes -----------------------------------------------------------------------------


def test_metrics_have_each_stage_and_class(finished):
    table = pd.read_csv(finished / "results/metrics.csv")
    scores = ["iou", "precision", "recall", "missed", "flooded", "confused", "border"]
    assert list(table) == ["stage", "split", "class", *scores, "images"]
    assert list(table["stage"].unique()) == STAGES
    for stage, rows in table.groupby("stage"):
        split, images = ("val", 4) if stage == "segmentation" else ("train", 12)
        assert set(rows["split"]) == {split}
        assert set(rows["images"]) == {images}
        assert rows["class"].iloc[0] == "background"
        assert rows["class"].iloc[-1] == "mean"
        assert rows["iou"].iloc[-1] == pytest.approx(rows["iou"].iloc[:-1].mean(), abs=1e-3)


def test_the_model_knows_how_its_run_predicted_and_what_it_scored(finished):
    metadata = read_metadata(finished / "results/model.safetensors")
    assert metadata["classes"] == CLASSES
    assert metadata["dataset"] == "scenes"
    assert metadata["inference"]["scales"] == [0.5]
    assert metadata["training"]["longest_side"] == [64, 96]
    scores = metadata["metrics"]["segmentation"]
    metrics = pd.read_csv(finished / "results/metrics.csv").query("stage == 'segmentation'")
    assert scores["iou"]["mean"] == pytest.approx(metrics["iou"].iloc[-1], abs=0.01)
    assert str(ROOT) not in str(metadata)
    card = (finished / "results/model_card.md").read_text()
    assert all(f"| {number} | {name} |" in card for number, name in enumerate(CLASSES, start=1))


def test_the_review_page_has_the_training_images_and_their_labels(finished):
    folder = finished / "results/review"
    text = (folder / "data.js").read_text()
    data = json.loads(json.loads(text[text.index("(") + 1 : text.rindex(")")]))
    images = {row.image: row for row in read_images(finished / TRAIN_TABLE)}
    assert {image["id"] for image in data["images"]} == images.keys()
    assert data["classes"] == CLASSES
    checks = label_warning.read_checks([finished / "results/pseudo_labels/check.csv"])
    for image in data["images"]:
        rows = checks[checks["image"] == image["id"]]
        assert ("flooded" in image["reasons"]) == rows["flooded"].all()
        assert [index for index, _ in image["tags"]] == list(images[image["id"]].classes)
        script = (folder / f"labels/{image['id']}.js").read_text()
        _, width, height, runs = json.loads(script[script.index("[") : script.rindex(")")])
        drawn = np.repeat(runs[::2], runs[1::2]).reshape(height, width)
        label = Image.open(finished / f"results/pseudo_labels/{image['id']}.png")
        np.testing.assert_array_equal(drawn, np.array(label))
        assert Image.open(folder / f"photographs/{image['id']}.jpg").size == (width, height)


def test_tables_have_the_scores_beside_the_published_ones(finished):
    tables = {name: pd.read_csv(finished / f"results/tables/{name}.csv") for name in TABLES}
    assert list(tables["labels"]) == ["stage", "split", "images", "miou", "published"]
    metrics = pd.read_csv(finished / "results/metrics.csv").query("`class` == 'mean'")
    miou = metrics.set_index("stage")["iou"]
    labels = tables["labels"].set_index("stage")
    assert list(labels.index) == ["superpixels", "cam", "walk", "pseudo_labels"]
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
    for row in read_images(finished / VAL_TABLE):
        drawn = np.array(Image.open(finished / f"results/boundaries/{row.image}.png")) / 255
        counts.append(boundaries.match(drawn, true_mask(row.image)))
    assert len(counts) == 4
    table = pd.read_csv(finished / "results/tables/boundaries.csv")
    pd.testing.assert_frame_equal(table, boundaries.scores(np.array(counts)), atol=1e-4)


def test_true_masks_train_the_upper_bound_and_those_of_cats_affinitynet(finished):
    results, cats = finished / "results", 0
    images = read_images(finished / TRAIN_TABLE)
    for row in images:
        mask = true_mask(row.image)
        indexed = np.array(Image.open(results / f"dataset/masks/{row.image}.png"))
        np.testing.assert_array_equal(indexed, mask)
        if (mask == 1).any():
            cats += 1
            known = np.array(Image.open(results / f"affinity_labels/{row.image}.png"))
            np.testing.assert_array_equal(known[mask <= 1], mask[mask <= 1])
    assert 0 < cats < len(images)


def test_artifacts_are_as_documented(finished):
    results = finished / "results"
    images = read_images(finished / TRAIN_TABLE)
    assert [row.image for row in images] == [f"scene_{i:05}" for i in range(1, 13)]
    for row in images:
        maps = np.load(results / f"cam/maps/{row.image}.npy")
        assert maps.dtype == np.float16
        sides = (round(128 * side / max(row.height, row.width)) for side in (row.height, row.width))
        assert maps.shape == (len(row.classes), *(-(-side // 8) for side in sides))
        scores = np.load(results / f"walk/scores/{row.image}.npy").astype(np.float32)
        assert len(scores) == len(row.classes) + 1
        for folder in ("affinity_labels", "walk/labels", "pseudo_labels"):
            with Image.open(results / folder / f"{row.image}.png") as label_map:
                assert label_map.mode == "P"
                assert label_map.size == (row.width, row.height)
    assert (results / "dataset/classes.txt").read_text().split() == CLASSES
    hidden = {path.name for path in results.rglob(".*")}
    assert hidden == {".checkpoints"}  # and no temporary file
    assert not any((results / ".checkpoints").iterdir())


def test_the_maps_are_those_of_the_prototypes(finished):
    """The network with another last layer; a stored map is that of features of length 1."""
    results = finished / "results"
    paths = [results / f"cam/{name}.safetensors" for name in ("network", "prototypes")]
    trained, made = map(load_file, paths)
    assert made.keys() == trained.keys()
    changed = {name for name in made if not torch.equal(made[name], trained[name])}
    assert changed == {"classifier.weight"}
    network = read_network(paths[1], torch.device("cpu"), output_stride=16)
    assert isinstance(network, PrototypeNetwork)
    (row, *_) = read_images(finished / TRAIN_TABLE)
    options = {"scales": [0.5], "flip": False, "stride": 8}
    image = resized(row.read(), 128)
    (maps,) = cam.class_activation_maps(network, [image], [row.classes], **options)
    np.testing.assert_allclose(np.load(results / f"cam/maps/{row.image}.npy"), maps, atol=2e-3)
    assert maps.max() > 0.9


def test_the_label_check_has_each_image_and_label(finished):
    table = label_warning.read_checks([finished / "results/pseudo_labels/check.csv"])
    images = read_images(finished / TRAIN_TABLE)
    expected = [(row.image, name) for row in images for name in row.labels]
    assert list(zip(table["image"], table["class"], strict=True)) == expected
    for image, rows in table.groupby("image"):
        labels = np.array(Image.open(finished / f"results/pseudo_labels/{image}.png"))
        assert rows["object"].iloc[0] == pytest.approx(100 * (labels > 0).mean(), abs=1e-3)
        shares = [100 * (labels == 1 + CLASSES.index(name)).mean() for name in rows["class"]]
        assert rows["share"].tolist() == pytest.approx(shares, abs=1e-3)


def test_each_job_has_a_log_with_versions(finished):
    logs = list((finished / "results/logs").rglob("*.log"))
    assert len(logs) > 20
    assert [log for log in logs if "python 3." not in log.read_text()] == []
    assert [log for log in logs if "done in" not in log.read_text()] == []


@pytest.fixture(scope="module")
def report(finished, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    snakemake(finished, "--report", str(path), "--", "all")
    return path


def test_the_report_has_each_figure_with_its_caption(finished, report):
    text = report.read_text()
    for figure in (finished / "results/figures").glob("*.png"):
        assert f"results/figures/{figure.name}" in text
        caption = (ROOT / f"workflow/report/{figure.stem}.rst").read_text()
        assert " ".join(caption.split()[:4]) in text
    assert 'src="http' not in text  # opens without a network


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_report_shows_its_categories_and_no_error(report, tmp_path, width):
    with Browser(tmp_path / "profile") as browser:
        browser.open(report, width=width)
        for category in ("Scores", "Pictures"):
            browser.wait(f"document.body.textContent.includes({category!r})")
        assert browser.errors == []


def test_a_second_run_does_nothing(finished):
    assert "Nothing to be done" in snakemake(finished, "--", "results/metrics.csv")


@pytest.mark.slow  # a whole run more
def test_labels_of_another_format_give_the_same_bytes_in_a_second_folder(finished, tmp_path):
    """All that is made from the labels as COCO's JSON, but for logs and times."""
    config = yaml.safe_load(TINY_YAML.read_text())
    config["dataset"]["labels"] = str(tmp_path / "coco.json")
    (tmp_path / "coco.json").write_text(json.dumps(as_coco(ROOT / "examples/scenes/labels.csv")))
    (tmp_path / "coco.yaml").write_text(yaml.safe_dump(config))
    targets = ["results/metrics.csv", "results/tables/boundaries.csv", "results/figures/stages.png"]
    snakemake(tmp_path, "--", *targets, config=tmp_path / "coco.yaml")
    made = {path.relative_to(tmp_path) for path in artifacts_of(tmp_path)}
    assert {path.suffix for path in made} >= {".csv", ".safetensors", ".npy", ".png", ".h5", ".txt"}
    assert len(made) > 100
    differ = [p for p in made if (tmp_path / p).read_bytes() != (finished / p).read_bytes()]
    assert differ == []


def as_coco(table: Path) -> dict:
    """A labels.csv as COCO's JSON, with a box in place of each label."""
    rows = list(csv.DictReader(table.open()))
    names = sorted({name for row in rows for name in row["labels"].split(";")})
    boxes = [(i, name) for i, row in enumerate(rows) for name in row["labels"].split(";")]
    return {
        "images": [{"id": i, "file_name": row["image"]} for i, row in enumerate(rows)],
        "categories": [{"id": 10 + i, "name": name} for i, name in enumerate(names)],
        "annotations": [
            {
                "id": number,
                "image_id": i,
                "category_id": 10 + names.index(name),
                "bbox": [1, 2, 3, 4],
            }
            for number, (i, name) in enumerate(boxes)
        ],
    }


def artifacts_of(folder: Path) -> list[Path]:
    """Files under results/ that tell nothing of the time that they took."""
    files = (path for path in (folder / "results").rglob("*") if path.is_file())
    return [f for f in files if not {"logs", "benchmarks"} & set(f.parts) and f.name[0] != "."]


# --- true jobs ------------------------------------------------------------------------------------


def test_a_deleted_label_is_rebuilt_alone(copy):
    label = copy / "results/pseudo_labels/scene_00003.png"
    before = label.read_bytes()
    label.unlink()
    printed = snakemake(copy, "--", "results/metrics.csv")
    assert label.read_bytes() == before
    assert jobs_of(printed) == {"make_pseudo_labels_of_image": 1, "metrics": 1}


def test_one_image_by_name_follows_a_changed_value(copy):
    """Its shard is made again: a file that a shard's job made has no record of its settings."""
    target = "results/walk/scores/scene_00003.npy"
    assert "Nothing to be done" in snakemake(copy, "--", target)
    (copy / target).write_text("old")
    snakemake(copy, "--config", "walk={beta: 2}", "--", target)
    assert np.load(copy / target).dtype == np.float16
    assert "'beta': 2" in (copy / "results/logs/run_walk/train_aug_0.log").read_text()


@pytest.mark.slow
def test_a_training_on_two_devices(copy):
    """Snakemake's script is started once more; the first process alone writes."""
    (copy / "results/cam/network.safetensors").unlink()
    target = "results/cam/network.safetensors"
    printed = snakemake(copy, "--config", "devices=2", "device=cpu", "--", target)
    assert "MEMBER: 2/2" in printed
    log = (copy / "results/logs/train_cam.log").read_text()
    assert log.count("epoch 4/4") == log.count("done in") == 1
    assert (copy / "results/cam/losses.csv").read_text().count("\n") == 1 + 4
    assert not any((copy / "results/.checkpoints").iterdir())


def test_class_maps_of_another_method(copy):
    """Maps taken from a folder are checked and normalised; no network is trained or asked."""
    shutil.copytree(copy / "results/cam/maps", copy / "theirs")
    maps = np.load(copy / "theirs/scene_00003.npy")
    np.save(copy / "theirs/scene_00003.npy", 4 * maps.astype(np.float64))
    (copy / "results/cam/network.safetensors").unlink()
    arguments = ["--config", "cam={maps: theirs}", "--", "results/cam/maps/train_aug_0.txt"]
    assert jobs_of(snakemake(copy, *arguments)) == {"import_maps": 1}
    assert not (copy / "results/cam/network.safetensors").exists()
    imported = np.load(copy / "results/cam/maps/scene_00003.npy")
    assert imported.dtype == np.float16
    greatest = maps.max((1, 2), keepdims=True)
    expected = np.divide(maps, greatest, out=np.zeros_like(maps), where=greatest > 0)
    np.testing.assert_allclose(imported, expected, atol=1e-3)


def test_cached_images_train_the_same_network(finished, copy):
    """At 192 pixels, which no scene is above, the cache holds what the files hold."""
    change = ["--config", "dataset={cache: true}"]
    side = "segmentation={training: {longest_side: [64, 192]}}"
    printed = snakemake(copy, *change, side, "--", "results/cam/network.safetensors")
    assert jobs_of(printed) == {"cache_images": 1, "train_cam": 1}
    with h5py.File(copy / "results/dataset/cache.h5") as cache:
        for row in read_images(copy / TRAIN_TABLE):
            np.testing.assert_array_equal(cache[row.path], Image.open(row.path).convert("RGB"))
    before, after = (
        load_file(folder / "results/cam/network.safetensors") for folder in (finished, copy)
    )
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_the_model_learns_from_reviewed_labels_until_they_are_taken_away(copy):
    network = copy / "results/segmentation/network.safetensors"
    before = network.read_bytes()
    (copy / "decisions.csv").write_text("image,decision\nscene_00001,reject\nscene_00002,reject\n")
    write_label_map(copy / "corrections/scene_00002.png", true_mask("scene_00002"))
    both = ["--config", "dataset={decisions: decisions.csv, corrections: corrections}"]
    images, found = [], [before]
    for change in (both, []):
        snakemake(copy, *change, "--", str(network.relative_to(copy)))
        log = (copy / "results/logs/train_segmentation.log").read_text()
        images.append(int(re.search(r" (\d+) images: ", log)[1]))
        found.append(network.read_bytes())
    assert images == [11, 12]
    assert [found.index(each) for each in found] == [0, 1, 0]


def test_reviewed_labels_are_exported_without_rejected_and_with_corrected_masks(copy):
    (copy / "decisions.csv").write_text("image,decision\nscene_00001,reject\nscene_00002,reject\n")
    write_label_map(copy / "corrections/scene_00002.png", true_mask("scene_00002"))
    target = "results/export/reviewed_labels/voc.zip"
    exported = []
    for change in (
        ["--config", "dataset={decisions: decisions.csv, corrections: corrections}"],
        [],  # taken away again
    ):
        snakemake(copy, *change, "--", target)
        with zipfile.ZipFile(copy / target) as archive:
            names = [name for name in archive.namelist() if "SegmentationClass/" in name]
            masks = {Path(name).stem: Image.open(archive.open(name)) for name in names}
            exported.append({name: np.array(mask) for name, mask in masks.items()})
    reviewed, made = exported
    assert made.keys() - reviewed.keys() == {"scene_00001"}
    differ = [name for name in reviewed if not np.array_equal(reviewed[name], made[name])]
    assert differ == ["scene_00002"]
    np.testing.assert_array_equal(reviewed["scene_00002"], true_mask("scene_00002"))


def test_a_corrected_mask_is_the_affinity_label_of_its_image_where_asked_for(finished, copy):
    write_label_map(copy / "corrections/scene_00002.png", true_mask("scene_00002"))
    change = ["dataset={corrections: corrections}", "affinity_labels={corrections: true}"]
    snakemake(copy, "--config", *change, "--", "results/affinity_labels/train_aug_0.txt")
    changed = []
    for path in sorted((finished / "results/affinity_labels").glob("*.png")):
        made = read_label_map(copy / "results/affinity_labels" / path.name)
        if not np.array_equal(made, read_label_map(path)):
            changed.append(path.stem)
            np.testing.assert_array_equal(made, true_mask(path.stem))
    assert changed == ["scene_00002"]


def test_a_correction_of_another_size_stops_before_the_training(copy):
    write_label_map(copy / "corrections/scene_00002.png", np.zeros((9, 9)))
    network = "results/segmentation/network.safetensors"
    done = run(copy, "--config", "dataset={corrections: corrections}", "--", network)
    assert done.returncode != 0
    assert "corrections/scene_00002.png: 9 x 9 pixels, but its image" in done.stdout + done.stderr
    assert (copy / network).exists()  # the training did not start


def test_an_unknown_image_is_named(finished):
    done = run(finished, "--dry-run", "--", "results/pseudo_labels/nothing.png")
    assert done.returncode != 0
    assert "no image 'nothing' in the lists of the data set" in done.stdout + done.stderr


SMALL = f"dataset: {{format: folder, root: {ROOT}/examples/scenes, limit: 20}}"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("dataset: {format: voc, root: nowhere}", "dataset.root: 'nowhere' is not a folder"),
        (f"{SMALL}\ndevices: 3", "devices: 3 cannot share cam.training.batch_size, 16, equally"),
        (f"{SMALL}\nwalk: {{betta: 8}}", "walk.betta: unknown key"),
        (f"{SMALL}\nlabels: {{confidence: 0.8}}", "labels: "),
        (f"{SMALL}\ncam: {{maps: nowhere}}", "cam.maps: 'nowhere' is not a folder"),
        (
            f"{SMALL}\naffinity_labels: {{true_masks: [cat, bird]}}",
            "['bird'] are not classes; choose from cat, cow, dog",
        ),
    ],
)
def test_a_wrong_configuration_stops_at_once(tmp_path, config, message):
    path = tmp_path / "config.yaml"
    path.write_text(config)
    with pytest.raises(RuntimeError) as error:
        jobs_to_run([DryRun(tmp_path, path)])
    assert message in str(error.value)


def test_a_python_whose_path_has_spaces_runs_the_scripts(tmp_path):
    """A project in such a folder has its environment there, too."""
    environment = tmp_path / "Wälder und Tiere" / ".venv"
    venv.create(environment, with_pip=False)
    (packages,) = environment.glob("lib/python3*/site-packages")
    (packages / "ours.pth").write_text("\n".join(filter(None, [str(ROOT), *sys.path])))
    command = [str(environment / "bin/python"), "-m", "snakemake", "--cores", "1"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(tmp_path)]
    command += ["--configfile", str(TINY_YAML), "--", TRAIN_TABLE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert (tmp_path / TRAIN_TABLE).exists()


# --- the code -------------------------------------------------------------------------------------


def test_the_core_runs_no_code_of_files():
    modules = list((ROOT / "psa_core").rglob("*.py"))
    assert len(modules) > 20
    for module in modules:
        nodes = ast.walk(ast.parse(module.read_text()))
        given = {
            node.arg: ast.unparse(node.value) for node in nodes if isinstance(node, ast.keyword)
        }
        assert "allow_pickle" not in given, module
        assert given.get("weights_only") != "False", module


def test_scripts_are_short():
    scripts = list((ROOT / "workflow/scripts").glob("*.py"))
    assert len(scripts) > 10
    assert [s for s in scripts if len(s.read_text().splitlines()) > 40] == []
