"""The soak runs, and its judgement of how a run ended; `make soak` does 200 rounds."""

import subprocess
import sys

import pytest
from seeds import ROOT

sys.path.insert(0, str(ROOT / "tests/faults"))

import soak
from corruptions import SAME, Expected

IMAGE = Expected(("a.png",))
SUBTLE = Expected(("a.png",), may_succeed=True)
RESULT = Expected(("results/walk/a.npy",), may_succeed=True, result="results/walk/a.npy")
REFUSED = "error: a.png: cannot be decoded"
BUG = f"{REFUSED}\nTraceback (most recent call last):"
WARNED = "results/walk/a.npy: not what the manifest lists"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "results/walk").mkdir(parents=True)
    (tmp_path / "results/walk/a.npy").write_text("a")
    return tmp_path


@pytest.mark.parametrize(
    ("status", "printed", "content", "expected", "wrong"),
    [
        (1, REFUSED, "a", IMAGE, None),
        (1, "error: something", "a", IMAGE, "file not named"),
        (1, BUG, "a", IMAGE, "traceback"),
        (1, REFUSED, "a", SAME, "refused without need"),
        (soak.HANG, "", "a", IMAGE, "hang"),
        (0, "", "a", IMAGE, "silent"),
        (0, "", "a", SUBTLE, None),
        (0, "", "b", SUBTLE, "wrong result"),
        (0, "", "a", SAME, None),
        (0, "", "b", SAME, "wrong result"),
        (0, "", "b", RESULT, "wrong result"),
        (0, WARNED, "b", RESULT, None),
        (0, WARNED, "b", SUBTLE, "wrong result"),
    ],
)
def test_verdict(folder, status, printed, content, expected, wrong):
    undisturbed = soak.digests(folder)
    (folder / "results/walk/a.npy").write_text(content)
    done = subprocess.CompletedProcess([], status, printed, "")
    assert soak.verdict(done, folder, expected, undisturbed) == wrong


@pytest.mark.parametrize("status", [0, 1])
def test_a_temporary_file_is_half_written(folder, status):
    undisturbed = soak.digests(folder)
    (folder / "results/walk/.a.k3f8s2q1.npy").write_text("")
    done = subprocess.CompletedProcess([], status, REFUSED, "")
    assert soak.verdict(done, folder, SUBTLE, undisturbed) == "half-written file"


def test_a_file_that_did_not_come_back_is_a_wrong_result(folder):
    undisturbed = soak.digests(folder)
    (folder / "results/walk/a.npy").unlink()
    done = subprocess.CompletedProcess([], 0, "", "")
    expected = Expected(None, result="results/walk/a.npy")
    assert soak.verdict(done, folder, expected, undisturbed) == "wrong result"


@pytest.mark.slow
def test_no_corruption_ends_badly(tmp_path):
    command = [sys.executable, str(ROOT / "tests/faults/soak.py"), "--rounds", "50"]
    done = subprocess.run([*command, "--folder", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "refused" in done.stdout.splitlines()[-1]
