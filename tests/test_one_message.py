"""What a failing run prints: the user's errors once and without frames, in terminal and log."""

import os

import pytest
import yaml
from small_data import TRAIN, VAL, class_of, write_folder, write_mask
from workflow_runs import run

TABLE = "results/dataset/images/train_aug_0.csv"


@pytest.fixture
def preset(tmp_path):
    """A configuration for the small data set, in one shard; returns (folder, file)."""
    config = {"dataset": {**write_folder(tmp_path), "shards": 1}}
    (tmp_path / "preset.yaml").write_text(yaml.safe_dump(config))
    return tmp_path, tmp_path / "preset.yaml"


def failed(folder, preset, *arguments):
    done = run(folder, *arguments, config=preset)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert 'File "' not in done.stdout + done.stderr
    return done.stderr


def test_a_damaged_image(preset):
    folder, config = preset
    (folder / "mine/images/t1.png").write_text("broken")
    printed = failed(folder, config, "--", TABLE)
    log = (folder / "results/logs/index_images/train_aug_0.log").read_text()
    for text in (printed, log):
        assert text.count("mine/images/t1.png: cannot be decoded") == 1
        assert "Traceback" not in text


def test_a_wrong_key_a_missing_label_and_an_unknown_image(preset):
    folder, config = preset
    given = ("--config", "dataset={shard: 3}", "--", TABLE)
    assert failed(folder, config, *given).count("dataset.shard: unknown key") == 1
    image = ("--", "results/pseudo_labels/nope.png")
    assert failed(folder, config, *image).count("no image 'nope' in the lists") == 1
    assert not list((folder / ".snakemake/locks").glob("*"))
    (folder / "mine/labels.csv").write_text("image,labels\nt1.png,\n")
    assert failed(folder, config, "--", TABLE).count("labels.csv, line 2: 't1.png' has no") == 1


def test_a_repeated_key_and_a_pipe(preset):
    folder, config = preset
    text = config.read_text()
    config.write_text(f"{text}\nwalk: {{t: 4, t: 5}}\n")
    assert failed(folder, config, "--", TABLE).count("the key t is in line") == 1
    config.write_text(text)
    (folder / "mine/images/t1.png").unlink()
    os.mkfifo(folder / "mine/images/t1.png")
    assert failed(folder, config, "--", TABLE).count("t1.png: a pipe, not a file") == 1


def test_masks_in_another_order_of_classes_stop_before_a_score(preset):
    folder, config = preset
    for image in TRAIN + VAL:
        write_mask(folder, image, 3 - class_of(image))
    printed = failed(folder, config, "--", "results/dataset/summary.csv")
    fact = "in 11 of 11 masks, the first that of t0, a class is not among the image's labels"
    assert printed.count(fact) == 1
    assert "the indices 1 cat, 2 dog" in printed
