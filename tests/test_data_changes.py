"""What reruns after a change of the data, and after a file was deleted: counts of jobs."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_data import (
    SHARDS,
    TRAIN,
    VAL,
    Stubbed,
    add,
    write_image,
    write_labels,
    write_mask,
    write_networks,
)

from psa_core.datasets.contents import Digests
from psa_core.datasets.inventory import Inventory

TARGETS = ("results/metrics.csv", "results/tables/segmentation.csv")
THEIRS = ("--config", "cam={maps: theirs}")
AREAS = "results/affinity_labels/{}.txt"
SCORES = ("cam", "walk", "pseudo_labels", "segmentation", "upper_bound")
PER_SHARD = (
    "infer_cam",
    "make_affinity_labels",
    "infer_affinity",
    "run_walk",
    "make_pseudo_labels",
)
TABLES = {"metrics": 1, "table_segmentation": 1}


@pytest.fixture
def run(stubbed, tmp_path) -> Stubbed:
    """A copy of a finished run, to change. Shards of training: t0 t2, t1 t3, t4 t6, t5 t7."""
    return stubbed.copy(tmp_path / "run")


def plan(run: Stubbed, *arguments: str, targets: tuple[str, ...] = TARGETS) -> dict[str, int]:
    return run.plan(*arguments, targets=targets)


def make(run: Stubbed, *arguments: str, targets: tuple[str, ...] = TARGETS) -> None:
    run.make(*arguments, targets=targets)


def inventory(run: Stubbed) -> Inventory:
    dataset = {"format": "folder", "root": str(run.folder / "mine"), "shards": SHARDS}
    return Inventory(dataset, Digests(run.folder / "digests.json"))


def shards(run: Stubbed, part: str) -> int:
    """Number of shards of a part of the data set that have images."""
    return len(inventory(run).shards(part))


def everything(run: Stubbed) -> dict[str, int]:
    """Jobs from the first training on."""
    return {
        **TABLES,
        "check_labels": 1,
        "summary": 1,
        **dict.fromkeys(("train_cam", "make_prototypes", "train_affinity"), 1),
        "train_segmentation": 2,  # the model and its upper bound
        **dict.fromkeys(PER_SHARD, shards(run, "train_aug")),
        "predict_segmentation": 2 * shards(run, "val"),
        **{f"evaluate_{stage}": 1 for stage in SCORES},
    }


# --- images, labels, masks ------------------------------------------------------------------------


def test_the_data_set_has_the_shards_that_the_counts_below_take(run):
    assert (shards(run, "train_aug"), shards(run, "val")) == (4, 2)


def test_a_touched_file_reruns_nothing(run):
    for file in (run.folder / "mine").rglob("*.*"):
        os.utime(file)
    assert plan(run) == {}


def test_data_that_lie_elsewhere_rerun_everything(run):
    whole = {**everything(run), "index_images": 6, "index_masks": 6}
    (run.folder / "mine").rename(run.folder / "moved")
    assert plan(run, "--config", "dataset={root: moved}") == whole


def test_the_order_of_rows_reruns_nothing(run):
    table = run.folder / "mine/labels.csv"
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, *reversed(rows)]))
    assert plan(run) == {}


def test_an_edited_training_image_reruns_the_trainings(run):
    write_image(run.folder, "t3", 77)
    assert plan(run) == {**everything(run), "index_images": 1}


def test_an_edited_label_of_a_training_image_reruns_the_trainings(run):
    write_labels(run.folder, TRAIN, VAL, t3="cat;dog")
    assert plan(run) == {**everything(run), "index_images": 1}


def test_an_edited_mask_of_a_training_image_reruns_scores_and_upper_bound(run):
    """Without true masks for AffinityNet: `true_masks` of tests/tiny.yaml asks for them."""
    make(run, "--touch", "--config", "affinity_labels={true_masks: []}", "--forceall")
    write_mask(run.folder, "t3", 0)
    assert plan(run, "--config", "affinity_labels={true_masks: []}") == {
        **TABLES,
        "index_masks": 1,
        "summary": 1,
        **{f"evaluate_{stage}": 1 for stage in ("cam", "walk", "pseudo_labels", "upper_bound")},
        "train_segmentation": 1,
        "predict_segmentation": 2,
    }


def test_an_edited_mask_reruns_affinitynet_where_it_learns_from_masks(run):
    write_mask(run.folder, "t3", 0)
    planned = plan(run)
    assert planned["index_masks"] == planned["make_affinity_labels"] == 1
    assert planned["train_affinity"] == 1
    assert "train_cam" not in planned


def test_an_edited_val_image_reruns_its_predictions(run):
    write_image(run.folder, "v1", 77)
    assert plan(run) == {
        **TABLES,
        "index_images": 1,
        "summary": 1,
        "predict_segmentation": 2,  # its shard by two models
        "evaluate_segmentation": 1,
        "evaluate_upper_bound": 1,
    }


def test_an_edited_val_mask_reruns_the_scores(run):
    write_mask(run.folder, "v1", 0)
    scores = {"evaluate_segmentation": 1, "evaluate_upper_bound": 1}
    assert plan(run) == {**TABLES, "index_masks": 1, "summary": 1, **scores}


def test_an_edited_label_of_a_val_image_predicts_its_shard_again(run):
    write_labels(run.folder, TRAIN, VAL, v1="cat;dog")
    planned = plan(run)
    assert planned["index_images"] == 1
    assert planned["predict_segmentation"] == 2
    assert "train_cam" not in planned


def test_a_changed_value_is_noticed_beside_a_changed_image(run):
    write_image(run.folder, "v1", 77)
    planned = plan(run, "--config", "walk={beta: 4}", targets=("results/metrics.csv",))
    assert planned["index_images"] == planned["train_segmentation"] == 1
    assert planned["run_walk"] == planned["make_pseudo_labels"] == 4
    assert "make_affinity_labels" not in planned


def test_ten_more_images_rerun_the_trainings_and_what_follows(run):
    added = [*(f"t{i}" for i in range(50, 58)), "v50", "v51"]
    add(run.folder, added[:8], added[8:])
    data, planned = inventory(run), plan(run)
    assert planned.pop("index_images") == len({data.shard_of(image) for image in added})
    planned.pop("index_masks", None)  # of shards that are new; no added image has a mask
    assert planned == everything(run)


def test_ten_more_val_images_rerun_the_predictions_of_their_shards(run):
    known = inventory(run).shards("val")
    added = [f"v{i}" for i in range(50, 100)]
    add(run.folder, [], added)
    data = inventory(run)
    added = [image for image in added if data.shard_of(image) in known][:10]
    add(run.folder, [], added)
    assert plan(run, targets=("results/metrics.csv",)) == {
        "index_images": 2,
        "summary": 1,
        "predict_segmentation": 2,
        "evaluate_segmentation": 1,
        "metrics": 1,
    }


def test_a_removed_image_reruns_the_trainings_even_if_its_shard_is_empty_then(run):
    for image in ("t4", "t6"):  # all of their shard
        (run.folder / f"mine/images/{image}.png").unlink()
    write_labels(run.folder, [i for i in TRAIN if i not in ("t4", "t6")], VAL)
    assert shards(run, "train_aug") == 3
    planned = plan(run)
    assert planned.pop("list_names") == 1  # the images that are scored
    assert planned == everything(run)


def test_frozen_networks_label_added_images(run):
    """Only the shards of the four images run, and no training."""
    frozen, targets = ("--config", "freeze=true"), ("results/metrics.csv",)
    assert plan(run, *frozen, targets=targets) == {}
    added = ["t50", "t51", "t52", "t53"]
    add(run.folder, added, [])
    data = inventory(run)
    number = len({data.shard_of(image) for image in added})
    rules = ("index_images", "infer_cam", "infer_affinity", "run_walk", "make_pseudo_labels")
    scores = (
        "evaluate_cam",
        "evaluate_walk",
        "evaluate_pseudo_labels",
        "metrics",
        "summary",
        "check_labels",
    )
    assert plan(run, *frozen, targets=targets) == {
        **dict.fromkeys(rules, number),
        **dict.fromkeys(scores, 1),
    }
    make(run, *frozen, targets=targets)
    assert plan(run, *frozen, targets=targets) == {}


def test_frozen_networks_say_that_they_do_not_learn_from_decisions(run):
    decide(run, t3="reject")
    frozen = ("--dry-run", "--config", "freeze=true", "dataset={decisions: decisions.csv}")
    assert "the model does not learn from decisions" in run.make(*frozen)
    assert "does not learn" not in run.make("--dry-run", *DECISIONS)


def test_frozen_networks_must_have_the_classes(run):
    write_networks(run.folder, ["cat", "cow"])
    with pytest.raises(RuntimeError, match="is for the classes cat, cow, and the data set has cat"):
        plan(run, "--config", "freeze=true")


def test_frozen_networks_that_are_missing_are_named(run):
    (run.folder / "results/affinity/network.safetensors").unlink()
    with pytest.raises(RuntimeError, match="freeze: true, but there is no results/affinity"):
        plan(run, "--config", "freeze=true")


def test_prototypes_switched_off_and_on_again_rerun_the_maps(run):
    off = ("--config", "cam={prototypes: {rounds: 0}}")
    planned = plan(run, *off)
    assert planned["infer_cam"] == shards(run, "train_aug")
    assert {"train_cam", "make_prototypes"}.isdisjoint(planned)
    make(run, *off)
    planned = plan(run)
    assert planned["infer_cam"] == shards(run, "train_aug")
    assert {"train_cam", "make_prototypes"}.isdisjoint(planned)


def test_prototypes_of_a_given_network_follow_the_images(run):
    """Also where a whole shard of them is gone: t1 and t3."""
    given = ("--config", "cam={train: false, network: {weights: start.pt}}")
    make(run, *given)
    assert plan(run, *given) == {}
    write_labels(run.folder, [name for name in TRAIN if name not in ("t1", "t3")], VAL)
    for name in ("t1", "t3"):
        (run.folder / f"mine/images/{name}.png").unlink()
    assert plan(run, *given)["make_prototypes"] == 1


def test_an_edited_segment_reruns_the_labels_of_its_shard_and_what_follows(run):
    segments = run.folder / "segments"
    shutil.copytree(run.folder / "mine/masks", segments)
    given = ("--config", "pseudo_labels={segments: segments}")
    retrained = {**RETRAINED, "evaluate_pseudo_labels": 1, "check_labels": 1}
    assert plan(run, *given) == {**retrained, "make_pseudo_labels": 4}
    make(run, *given)
    os.utime(segments / "t3.png")
    assert plan(run, *given) == {}
    Image.new("L", (48, 40)).save(segments / "t3.png")
    assert plan(run, *given) == {**retrained, "make_pseudo_labels": 1}
    make(run, *given)
    assert plan(run, *given) == {}  # whichever of the files was read anew
    (segments / "t3.png").unlink()
    with pytest.raises(RuntimeError, match=r"segments lacks the segments of 1 training images"):
        plan(run, *given)


# --- decisions and corrections --------------------------------------------------------------------


DECISIONS = ("--config", "dataset={decisions: decisions.csv}")
CORRECTIONS = ("--config", "dataset={corrections: corrections}")
# Without the upper bound, which learns from true masks.
RETRAINED = {
    "train_segmentation": 1,
    "predict_segmentation": 2,
    "evaluate_segmentation": 1,
    **TABLES,
}


def decide(run: Stubbed, **decisions: str) -> None:
    rows = ["image,decision", *(f"{image},{decisions[image]}" for image in decisions)]
    (run.folder / "mine/decisions.csv").write_text("\n".join(rows) + "\n")


def correct(run: Stubbed, image: str, value: int) -> Path:
    """Write a corrected mask; returns its path."""
    path = run.folder / f"mine/corrections/{image}.png"
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.full((40, 48), value, np.uint8)).save(path)
    return path


def test_accepted_labels_rerun_nothing(run):
    decide(run, t1="accept", v0="accept")
    assert plan(run, *DECISIONS) == {}


def test_a_rejected_label_reruns_the_segmentation_model_and_what_follows(run):
    decide(run, t1="accept", t3="reject")
    assert plan(run, *DECISIONS) == RETRAINED
    make(run, *DECISIONS)
    assert plan(run, *DECISIONS) == {}
    os.utime(run.folder / "mine/decisions.csv")
    decide(run, t3="reject", t5="accept")  # other rows, the same rejected labels
    assert plan(run, *DECISIONS) == {}
    decide(run, t3="accept")
    assert plan(run, *DECISIONS) == RETRAINED
    assert plan(run) == RETRAINED


def test_an_excluded_image_reruns_what_a_removed_one_does(run):
    decide(run, t3="exclude")
    planned = plan(run, *DECISIONS)
    # Its shard has another image; t3 has a mask, so it leaves the scored images, too.
    once = {"index_images": 1, "index_masks": 1, "list_names": 1}
    assert {rule: planned.pop(rule) for rule in once} == once
    assert planned == everything(run)
    make(run, *DECISIONS)
    names = [path.read_text() for path in (run.folder / "results/pseudo_labels").glob("*_*.txt")]
    assert "t1.png" in "".join(names)
    assert "t3.png" not in "".join(names)


def test_a_correction_reruns_the_segmentation_model_and_what_follows(run):
    path = correct(run, "t3", 1)
    retrained = {**RETRAINED, "index_corrections": 1}
    assert plan(run, *CORRECTIONS) == retrained
    make(run, *CORRECTIONS)
    os.utime(path)
    assert plan(run, *CORRECTIONS) == {}
    correct(run, "t3", 0)
    assert plan(run, *CORRECTIONS) == retrained
    make(run, *CORRECTIONS)
    correct(run, "t5", 2)
    assert plan(run, *CORRECTIONS) == retrained
    make(run, *CORRECTIONS)
    path.unlink()
    assert plan(run, *CORRECTIONS) == retrained
    assert plan(run) == RETRAINED  # without any


def test_corrections_that_teach_affinitynet_rerun_it_and_what_follows(run):
    teach = "affinity_labels={corrections: true}"
    make(run, "--config", teach)
    path = correct(run, "t3", 1)
    taught = {
        **RETRAINED,
        **dict.fromkeys(PER_SHARD[1:], 4),
        **dict.fromkeys(("train_affinity", "evaluate_walk", "evaluate_pseudo_labels"), 1),
        "check_labels": 1,
    }
    assert plan(run, *CORRECTIONS, teach) == {**taught, "index_corrections": 1}
    make(run, *CORRECTIONS, teach)
    assert plan(run, *CORRECTIONS, teach) == {}
    assert plan(run, "--config", teach) == taught  # without any
    path.unlink()
    correct(run, "t5", 2)
    assert plan(run, *CORRECTIONS, teach) == {**taught, "index_corrections": 1}


def test_an_edited_image_checks_the_size_of_its_correction_again(run):
    correct(run, "t3", 1)
    make(run, *CORRECTIONS)
    write_image(run.folder, "t3", 77)
    assert plan(run, *CORRECTIONS)["index_corrections"] == 1


def test_a_correction_of_a_rejected_label_is_learned_from(run):
    both = ("--config", "dataset={decisions: decisions.csv, corrections: corrections}")
    decide(run, t3="reject")
    make(run, *DECISIONS)
    correct(run, "t3", 1)
    assert plan(run, *both) == {**RETRAINED, "index_corrections": 1}
    make(run, *both)
    decide(run, t3="accept")
    assert plan(run, *both) == {}
    shutil.rmtree(run.folder / "mine/corrections")
    decide(run, t3="reject")
    assert plan(run, *DECISIONS) == RETRAINED


def test_a_deleted_table_of_corrections_comes_back(run):
    correct(run, "t3", 1)
    make(run, *CORRECTIONS)
    (run.folder / "results/dataset/corrections.csv").unlink()
    planned = plan(run, *CORRECTIONS, targets=("results/metrics.csv",))
    assert planned["index_corrections"] == 1


def test_a_deleted_corrected_mask_comes_back(run):
    correct(run, "t3", 1)
    make(run, *CORRECTIONS)
    made = run.folder / "results/dataset/corrections/t3.png"
    made.unlink()
    assert plan(run, *CORRECTIONS) == {**RETRAINED, "index_corrections": 1}
    make(run, *CORRECTIONS)
    assert made.exists()
    assert plan(run, *CORRECTIONS) == {}
    shutil.rmtree(made.parent)
    assert plan(run, *CORRECTIONS)["index_corrections"] == 1


def test_the_meaning_of_colours_checks_the_corrections_again(run):
    correct(run, "t3", 1)
    labelmap = run.folder / "mine/corrections/labelmap.txt"
    labelmap.write_text("cat:1,1,1::\ndog:2,2,2::\n")
    make(run, *CORRECTIONS)
    os.utime(labelmap)
    assert plan(run, *CORRECTIONS) == {}
    labelmap.write_text("cat:2,2,2::\ndog:1,1,1::\n")
    assert plan(run, *CORRECTIONS)["index_corrections"] == 1


# --- class maps of another method -----------------------------------------------------------------


@pytest.fixture(scope="module")
def imported(stubbed, tmp_path_factory) -> Stubbed:
    """The same data with class maps of another method, as far as AffinityNet's labels."""
    run = stubbed.copy(tmp_path_factory.mktemp("maps") / "run")
    write_maps(run.folder, TRAIN)
    make(run, *THEIRS, targets=tuple(AREAS.format(f"train_aug_{n}") for n in range(SHARDS)))
    return run


def write_maps(folder: Path, images: list[str]) -> None:
    (folder / "theirs").mkdir(exist_ok=True)
    for image in images:
        np.save(folder / f"theirs/{image}.npy", np.linspace(0, 1, 30).reshape(1, 5, 6))


def test_another_methods_map_is_known_by_its_content(imported, tmp_path):
    run = imported.copy(tmp_path / "run")
    map_of_t0, target = run.folder / "theirs/t0.npy", AREAS.format("train_aug_1")
    os.utime(map_of_t0)
    assert plan(run, *THEIRS, targets=(target,)) == {}
    np.save(map_of_t0, np.load(map_of_t0)[..., ::-1])
    os.utime(map_of_t0, (0, 0))
    expected = {"import_maps": 1, "make_affinity_labels": 1}
    assert plan(run, *THEIRS, targets=(target,)) == expected


def test_added_and_removed_images_rerun_their_shards(imported, tmp_path):
    run = imported.copy(tmp_path / "run")
    (run.folder / "mine/images/t3.png").unlink()
    write_labels(run.folder, [image for image in TRAIN if image != "t3"], VAL)
    network = "results/affinity/network.safetensors"
    planned = plan(run, *THEIRS, targets=(network,))
    once = ("index_images", "import_maps", "make_affinity_labels", "train_affinity")
    # The masks of the shard are fewer, too, and teach AffinityNet.
    assert planned == {**dict.fromkeys(once, 1), "index_masks": 1}
    make(run, *THEIRS, targets=(network,))
    assert plan(run, *THEIRS, targets=(network,)) == {}
    names = [
        line.split()[-1]
        for manifest in (run.folder / "results/affinity_labels").glob("train_aug_*.txt")
        for line in manifest.read_text().splitlines()[1:]
    ]
    assert sorted(names) == [f"{image}.png" for image in TRAIN if image != "t3"]


# --- deleted files --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "suffix", "rule"),
    [
        ("cam/maps", "npy", "infer_cam_of_image"),
        ("affinity_labels", "png", "make_affinity_labels_of_image"),
        ("walk/scores", "npy", "run_walk_of_image"),
        ("walk/labels", "png", "run_walk_of_image"),
        ("pseudo_labels", "png", "make_pseudo_labels_of_image"),
    ],
)
def test_a_deleted_file_comes_back_alone(run, folder, suffix, rule):
    """By its name, and with the usual command, which then writes the table again."""
    file = f"results/{folder}/t2.{suffix}"
    assert plan(run, targets=(file,)) == {}
    (run.folder / file).unlink()
    assert plan(run, targets=(file,)) == {rule: 1}
    assert plan(run, targets=("results/metrics.csv",)) == {rule: 1, "metrics": 1}
    make(run, targets=("results/metrics.csv",))
    assert (run.folder / file).exists()
    assert plan(run) == {}


def test_deleted_files_of_one_image_and_of_others_come_back(run):
    for file in ("cam/maps/t2.npy", "segmentation/predictions/v0.png"):
        (run.folder / f"results/{file}").unlink()
    make(run, targets=("results/metrics.csv",))
    assert plan(run, targets=("results/metrics.csv",)) == {}
    for file in ("cam/maps/t2.npy", "segmentation/predictions/v0.png"):
        assert (run.folder / f"results/{file}").exists()


def test_a_deleted_file_beside_a_changed_value_hides_neither(run):
    (run.folder / "results/cam/maps/t2.npy").unlink()
    planned = plan(run, "--config", "walk={beta: 4}", targets=("results/metrics.csv",))
    assert planned["infer_cam_of_image"] == 1
    assert planned["run_walk"] == planned["make_pseudo_labels"] == 4
    assert "make_affinity_labels" not in planned


def test_a_deleted_affinity_label_of_an_image_without_mask_comes_back(run):
    """Where AffinityNet learns from true masks, of the images that have one."""
    (run.folder / "mine/masks/t2.png").unlink()
    make(run)
    label = run.folder / "results/affinity_labels/t2.png"
    label.unlink()
    expected = {"make_affinity_labels_of_image": 1, "metrics": 1}
    assert plan(run, targets=("results/metrics.csv",)) == expected
    make(run, targets=("results/metrics.csv",))
    assert label.exists()


def test_a_deleted_mask_comes_back_alone(run):
    mask = run.folder / "results/dataset/masks/v1.png"
    mask.unlink()
    expected = {"index_masks_of_image": 1, "metrics": 1}
    assert plan(run, targets=("results/metrics.csv",)) == expected
    make(run, targets=("results/metrics.csv",))
    assert mask.exists()


@pytest.mark.parametrize(
    ("gone", "first"),
    [
        ("dataset/classes.txt", {"list_names": 1}),
        ("dataset/summary.csv", {"summary": 1, "index_images": None, "train_cam": None}),
        ("cam/network.safetensors", {"train_cam": 1, "make_prototypes": 1, "infer_cam": 4}),
        ("cam/prototypes.safetensors", {"make_prototypes": 1, "infer_cam": 4}),
        ("affinity_labels/train_aug_1.txt", {"make_affinity_labels": 1, "train_affinity": 1}),
        ("affinity/network.safetensors", {"train_affinity": 1, "infer_affinity": 4}),
        ("affinity/edges/train_aug_1.h5", {"infer_affinity": 1, "run_walk": 1}),
        ("walk/scores/train_aug_1.txt", {"run_walk": 1, "make_pseudo_labels": 1}),
        ("walk/scores", {"run_walk": 4, "make_pseudo_labels": 4}),
        ("pseudo_labels/train_aug_1.csv", {"make_pseudo_labels": 1, "train_segmentation": 1}),
        (
            "pseudo_labels/check.csv",
            {
                "check_labels": 1,
                "metrics": 1,
                "make_pseudo_labels": None,
                "train_segmentation": None,
            },
        ),
        ("segmentation/network.safetensors", {"train_segmentation": 1, "predict_segmentation": 2}),
    ],
)
def test_a_deleted_network_manifest_or_folder_comes_back(run, gone, first):
    """With what is made from it, by the usual command."""
    lost = run.folder / "results" / gone
    (shutil.rmtree if lost.is_dir() else os.unlink)(lost)
    planned = plan(run, targets=("results/metrics.csv",))
    assert {rule: planned.get(rule) for rule in first} == first


@pytest.mark.parametrize(
    "gone",
    [
        *("cam/network.safetensors", "walk/scores", "pseudo_labels/check.csv"),
        *("dataset/scored_train.txt", "dataset/masks/train_aug_0.csv", "dataset/summary.csv"),
    ],
)
def test_what_came_back_is_finished(run, gone):
    lost = run.folder / "results" / gone
    (shutil.rmtree if lost.is_dir() else os.unlink)(lost)
    make(run)
    assert lost.exists()
    assert plan(run) == {}


def test_second_files_of_a_job_come_back_with_a_run_without_target(run):
    make(run, targets=("all",))
    second = [run.folder / "results" / name for name in ("model_card.md", "figures/losses.png")]
    for path in second:
        path.unlink()
    make(run, targets=("all",))
    assert all(path.exists() for path in second)
