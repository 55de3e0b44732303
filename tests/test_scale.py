"""benchmarks/scale.py on few images: it plans, runs stubs, and finds all finished."""

import subprocess
import sys

import pytest
from seeds import ROOT


@pytest.mark.slow
def test_few_images_are_planned_run_and_finished(tmp_path):
    command = [sys.executable, f"{ROOT}/benchmarks/scale.py", str(tmp_path / "scale")]
    command += ["--train", "6", "--val", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cells = [line.split("|")[1:3] for line in done.stdout.splitlines() if line.startswith("| ")]
    jobs = {what.strip(): number.strip() for what, number in cells}
    assert jobs["plan, digests known"] == jobs["run of stubs in Snakemake's process"] != "0"
    assert jobs["plan, all finished"] == jobs["plan, each file touched"] == "0"
