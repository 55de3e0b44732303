"""The soak runs; `make soak` does 200 rounds."""

import subprocess
import sys

import pytest
from seeds import ROOT


@pytest.mark.slow
def test_no_corruption_ends_badly(tmp_path):
    command = [sys.executable, str(ROOT / "tests/faults/soak.py"), "--rounds", "100"]
    done = subprocess.run([*command, "--folder", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "refused" in done.stdout.splitlines()[-1]
