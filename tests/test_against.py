"""The comparison of two trees: order of the runs, ratio and change of the results."""

import sys
from pathlib import Path

import pytest
from seeds import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import against


def test_trees_are_timed_in_turn_and_the_ratio_is_of_pairs(capsys):
    """Each pair is 1 s later than the one before: 1 and 2 s, 3 and 4 s, ..., 9 and 10 s."""
    ran = []

    def run(task, tree):
        ran.append(str(tree))
        return {"seconds": len(ran), "value": 2.0 if tree == Path("old") else 2.5}

    table = against.compare(Path("old"), Path("new"), ["a step"], run)
    assert ran == ["old", "new"] * 5
    (row,) = table.to_dict("records")
    assert row == pytest.approx(
        {"what": "a step", "before_s": 5, "after_s": 6, "ratio": 5 / 6, "change": 0.25}
    )
    assert "a step" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["cam", "affinity", "segmentation"])
def test_a_tree_is_timed_in_a_process_of_its_own(stage):
    found = against.in_a_process(f"gradients, {stage}", ROOT)
    assert found["seconds"] > 0
    assert 0 < found["value"] < 10


def test_an_unknown_commit_is_named():
    with pytest.raises(SystemExit, match="--against nonsense: "):
        against.compare_with("nonsense")
