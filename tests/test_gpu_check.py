"""The check of a GPU, on the CPU and small: what it says and when it fails."""

import math
import os
import sys

import pandas as pd
import pytest
from seeds import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import gpu_check

SMALL = ["--images", "4", "--size", "96", "72", "--steps", "12", "--batch-size", "2"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    preset = str(ROOT / "tests/tiny.yaml")
    options = ["--presets", preset, "--device", "cpu", "--output", str(tmp_path), *SMALL]
    return lambda: gpu_check.main(options)


def test_all_stages_are_compared_and_timed(run, tmp_path, capsys):
    assert run() == 0
    table = pd.read_csv(tmp_path / "gpu_check.csv")
    assert list(table["stage"]) == ["cam", "affinity", "segmentation"]
    differences = table[["loss_difference", "output_difference", "difference"]]
    assert (differences == 0).all(axis=None)  # with itself
    assert (table[["training", "inference", "sizes"]] > 0).all(axis=None)
    assert table["with_crf"].notna().tolist() == [False, False, True]
    printed = capsys.readouterr().out
    assert "Without a GPU" in printed
    assert (tmp_path / "gpu_check.md").read_text() in printed
    assert printed.count("| tiny | ") == 3


def test_differences_beyond_their_bounds_are_named():
    row = {"preset": "p", "stage": "cam", "loss_difference": 0.001, "output_difference": 0.01}
    rows = [{"difference": 0.2}, {"difference": math.nan}, {"output_difference": 0.04}]
    lines = gpu_check.beyond(pd.DataFrame([{**row, "difference": 0.0, **each} for each in rows]))
    assert lines[0] == "p, cam: difference of cam is 0.2, bound 0.03"
    assert lines[2] == "p, cam: difference of outputs is 0.04, bound 0.03"
    assert len(lines) == 3


def test_too_few_steps_are_refused(capsys):
    with pytest.raises(SystemExit):
        gpu_check.main(["--steps", "10"])
    assert "--steps 10: more than 10 are needed" in capsys.readouterr().err
