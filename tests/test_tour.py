"""docs/tour.ipynb: its code runs as it stands, and finds the cat."""

import json

import numpy as np
import pytest
from matplotlib import pyplot as plt
from seeds import ROOT

NOTEBOOK = ROOT / "docs/tour.ipynb"


def cells(kind):
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


@pytest.mark.slow
def test_the_code_of_the_tour_finds_the_cat(monkeypatch):
    monkeypatch.setattr(plt, "show", plt.close)
    tour = {}
    for cell in cells("code"):
        exec(compile("".join(cell["source"]), str(NOTEBOOK), "exec"), tour)
    label = tour["label"]
    assert label.shape == tour["image"].shape[:2]
    nose, both_eyes, wall = label[150, 275], label[145, [185, 330]], label[60:250, -30:]
    assert nose == 1
    assert (both_eyes == 1).all()
    assert (wall == 0).mean() > 0.9
    assert 0.5 < np.mean(label == 1) < 0.9


def test_each_step_has_a_picture_and_no_error():
    for cell in cells("code"):
        kinds = [output["output_type"] for output in cell["outputs"]]
        assert kinds.count("display_data") == 1
        assert "error" not in kinds
