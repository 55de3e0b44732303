"""What reruns after a change of a config key, of the code, or of nothing that matters.

The tables of config/README.md, *What reruns when*, are read and compared with the workflow.
"""

import copy
import os
import shutil
from pathlib import Path

import yaml
from dry_runs import DryRun, jobs_to_run, rules_of
from rerun_tables import RERUNS, differences, first_rules, following, row_of, rules_of_row
from seeds import ROOT

from psa_core.runtime.config import ConfigError, complete, describe

SCHEMA = yaml.safe_load((ROOT / "config/schema.yaml").read_text())
KEYS = [line.split("`")[1] for line in describe(SCHEMA).splitlines()[2:]]


def test_each_key_has_a_row_and_each_row_a_key():
    assert {row_of(key) for key in KEYS} == RERUNS.keys()


# --- keys -----------------------------------------------------------------------------------------

# Values that name files or lists, and those that want another key changed, too.
CHANGES = {
    "dataset.format": {
        "dataset.format": "folder",
        "dataset.root": "mine",
        "dataset.classes": None,
        "dataset.train_aug": None,
    },
    "dataset.root": {"dataset.root": "../voc/devkit"},
    "dataset.classes": {"dataset.classes": ["dog", "cat"]},
    "dataset.train_aug": {"dataset.train_aug": "fewer_train"},
    "dataset.train": {"dataset.train": "fewer_train"},
    "dataset.val": {"dataset.val": "fewer_val"},
    "dataset.test": {"dataset.test": "fewer_val"},
    "dataset.labels": {"dataset.labels": "other.csv"},
    "dataset.negatives": {"dataset.negatives": True, "dataset.classes": ["cat"]},
    "dataset.separator": {"dataset.labels": "other.csv", "dataset.separator": ";"},
    "dataset.mask_values": {"dataset.mask_values": {0: "background", 1: "dog", 2: "cat"}},
    "dataset.masks": {"dataset.masks": "SegmentationClass/../SegmentationClass"},
    "dataset.bands": {"dataset.bands": [3, 2, 1]},
    "dataset.value_range": {"dataset.value_range": [0, 200]},
    "dataset.images": {"dataset.images": "JPEGImages/../JPEGImages"},
    "dataset.limit": {"dataset.limit": 6},
    "dataset.decisions": {"dataset.decisions": "decisions.csv"},
    "dataset.corrections": {"dataset.corrections": "corrections"},
    "pseudo_labels.confidence": {"pseudo_labels.confidence": None},
    "affinity_labels.true_masks": {"affinity_labels.true_masks": ["dog"]},
    "affinity_labels.alpha_low": {
        "affinity_labels.alpha_low": 2,
        "affinity_labels.alpha_high": 16,
    },
    "affinity_labels.alpha_high": {
        "affinity_labels.alpha_low": 4,
        "affinity_labels.alpha_high": 32,
    },
    "cam.maps": {"cam.maps": "results/cam/maps"},
    "pseudo_labels.segments": {"pseudo_labels.segments": "results/pseudo_labels"},
    "cam.train": {"cam.train": False, "cam.network.weights": "start.pt"},
    "affinity.train": {"affinity.train": False, "affinity.network.weights": "start.pt"},
    "segmentation.train": {
        "segmentation.train": False,
        "segmentation.network.weights": "start.pt",
        "segmentation.upper_bound": False,
    },
}
SPLIT_KEYS = ("dataset.val_fraction", "dataset.seed")
FOLDER_KEYS = (*SPLIT_KEYS, "dataset.mask_values")  # the others are tried on a devkit
WORDS = ("random", "cpu", "ignore", "centre", "sum", "sgd", "constant", "release")


def candidates(value: object):
    """Other values for a key."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value * 2, value // 2, value / 2, 0.5)
    elif isinstance(value, list):
        yield from (value[:-1], [item * 2 for item in value])
    yield from (*WORDS, 8, [32, 64])


def with_changes(config: dict, changes: dict[str, object]) -> dict:
    config = copy.deepcopy(config)
    for key, value in changes.items():
        *sections, name = key.split(".")
        section = config
        for part in sections:
            section = section[part]
        section[name] = value
    return config


def changed(config: dict, key: str) -> dict:
    """The configuration with another value for one key that the schema allows."""
    if key in CHANGES:
        return complete(with_changes(config, CHANGES[key]), SCHEMA)
    value = config
    for part in key.split("."):
        value = value[part]
    for candidate in candidates(value):
        try:
            other = complete(with_changes(config, {key: candidate}), SCHEMA)
        except ConfigError:
            continue
        if other != config:
            return other
    raise AssertionError(f"{key}: name another value for it in CHANGES")


def write(path: Path, config: dict) -> Path:
    path.write_text(yaml.safe_dump(config))
    return path


def test_each_key_changes_the_parameters_that_the_documentation_says(stubbed, tmp_path):
    """Of all keys but those of the data set and others that decide files."""
    config = complete(yaml.safe_load((stubbed.folder / "preset.yaml").read_text()), SCHEMA)
    files_decide = [key for key in CHANGES if not key.startswith("affinity_labels.alpha")]
    keys = [key for key in KEYS if key not in files_decide and not key.startswith("dataset.")]
    files = [write(tmp_path / "as_it_was.yaml", config)]
    files += [write(tmp_path / f"{key}.yaml", changed(config, key)) for key in keys]
    before, *after = rules_of(stubbed.folder, files)
    found = {
        key: {name for name in rules if rules[name].params != before[name].params}
        for key, rules in zip(keys, after, strict=True)
    }
    found = {key: {rule.removesuffix("_of_image") for rule in found[key]} for key in keys}
    expected = {key: first_rules(row_of(key)) for key in keys}
    unused = {"predict_test", "import_network", "cache_images"}  # by this configuration
    found = {key: rules - unused for key, rules in found.items()}
    assert differences(found, expected) == {}


def test_each_row_reruns_what_the_documentation_says(stubbed, stubbed_voc, tmp_path):
    """One real dry run for each row, by its first key; a row of the data set by each key."""
    keys = {}
    for key in KEYS:
        keys.setdefault(key if key.startswith("dataset.") else row_of(key), key)
    dry_runs, expected = [], {}
    for key in keys.values():
        run = stubbed if key in FOLDER_KEYS or not key.startswith("dataset.") else stubbed_voc
        config = complete(yaml.safe_load((run.folder / "preset.yaml").read_text()), SCHEMA)
        if key in SPLIT_KEYS:  # then the split decides nothing
            config["dataset"]["labels"] = "unsplit.csv"
        path = write(tmp_path / f"{key}.yaml", changed(config, key))
        dry_runs.append(DryRun(run.folder, path, run.project))
        expected[key] = rules_of_row(row_of(key))
    found = dict(zip(keys.values(), jobs_to_run(dry_runs), strict=True))
    assert differences(found, expected) == {}


# --- what is no change ----------------------------------------------------------------------------


def reordered(value: object) -> object:
    """The same values, with the keys of all sections in the other order."""
    if not isinstance(value, dict):
        return value
    return {key: reordered(value[key]) for key in reversed(value)}


def test_order_of_keys_comments_and_defaults_rerun_nothing(stubbed, tmp_path):
    text = (stubbed.folder / "preset.yaml").read_text()
    config = complete(yaml.safe_load(text), SCHEMA)
    backwards = yaml.safe_dump(reordered(config), sort_keys=False)
    assert backwards != yaml.safe_dump(config, sort_keys=False)
    (tmp_path / "backwards.yaml").write_text(f"# another comment\n{backwards}")
    dry_run = DryRun(stubbed.folder, tmp_path / "backwards.yaml", stubbed.project)
    fewer_cores = stubbed.dry_run("--cores", "1")
    assert jobs_to_run([dry_run, fewer_cores]) == [{}, {}]


def test_swapped_values_are_noticed(stubbed, tmp_path):
    config = complete(yaml.safe_load((stubbed.folder / "preset.yaml").read_text()), SCHEMA)
    low, high = config["walk"]["beta"], config["walk"]["t"]
    assert low != high
    swapped = with_changes(config, {"walk.beta": high, "walk.t": low})
    path = write(tmp_path / "swapped.yaml", swapped)
    (jobs,) = jobs_to_run([DryRun(stubbed.folder, path, stubbed.project)])
    assert set(jobs) == following({"run_walk"})


def test_touched_results_rerun_nothing(stubbed, tmp_path):
    """In an order that makes each input newer than its output."""
    folder = Path(shutil.copytree(stubbed.folder, tmp_path / "run"))
    files = [path for path in folder.glob("results/**/[!.]*") if path.is_file()]
    newest = sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for second, path in enumerate(newest):
        os.utime(path, (2e9 + second,) * 2)
    assert jobs_to_run([stubbed.dry_run(folder=folder)]) == [{}]


def test_results_copied_into_a_clone_rerun_nothing(stubbed, tmp_path):
    clone = Path(shutil.copytree(stubbed.project, tmp_path / "clone"))
    shutil.copytree(stubbed.folder / "mine", clone / "mine")
    shutil.copy(stubbed.folder / "preset.yaml", clone)
    shutil.copytree(stubbed.folder / "results", clone / "results")  # as cp -a
    dry_run = DryRun(clone, clone / "preset.yaml", clone)
    assert jobs_to_run([dry_run]) == [{}]
    for second, path in enumerate(sorted((clone / "results").rglob("*"), reverse=True)):
        os.utime(path, (second, second))  # as after cp -r: an order that means nothing
    assert jobs_to_run([dry_run]) != [{}]
    stubbed.make("--touch", folder=clone)
    assert jobs_to_run([dry_run]) == [{}]
