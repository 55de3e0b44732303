"""A full disk, a read-only folder, two runs at once: a clear error, and nothing is lost.

What `kill -9` does is tested by `make test-faults`: it takes too long for here.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from seeds import TINY_YAML
from test_workflow import SNAKEMAKE, run

from psa_core import artifacts

needs_mount = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


@pytest.fixture
def small_disk(tmp_path):
    """A function that mounts a disk of some bytes at tmp_path/disk; unmounted after the test."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(*options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(disk)]
        if (done := subprocess.run(command, capture_output=True, text=True)).returncode:
            pytest.skip(f"this container must not mount: {done.stderr.strip()}")
        return disk

    yield mount
    subprocess.run(["umount", str(disk)], capture_output=True, check=False)


@pytest.fixture
def results_on_disk(small_disk, finished, tmp_path) -> tuple[Path, Path]:
    """A disk with the results of a finished run, and the folder of that run."""
    disk, folder = small_disk("size=256m"), tmp_path / "run"
    shutil.copytree(finished, folder, symlinks=True)
    shutil.move(folder / "results", disk)
    (folder / "results").symlink_to(disk / "results")
    return disk, folder


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not {"logs", "benchmarks"} & set(path.parts)
    }


def save_hdf5(path):
    with h5py.File(path, "w") as file:
        file["edges"] = np.ones(2**19)


@needs_mount
@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(bytes(2**22)),
        lambda path: np.save(path, np.ones(2**19)),
        save_hdf5,
        lambda path: torch.save(torch.ones(2**20), path),
    ],
    ids=["bytes", "npy", "hdf5", "torch"],
)
def test_a_full_disk_is_named_and_the_old_file_stays(small_disk, write):
    path = small_disk("size=1m") / "network.npy"
    path.write_text("old")
    message = r"disk or your quota is full: make room.*network\.npy"
    with pytest.raises(OSError, match=message), artifacts.replacing(path) as temporary:
        write(temporary)
    assert path.read_text() == "old"
    assert [each.name for each in path.parent.iterdir()] == ["network.npy"]


@needs_mount
def test_a_run_on_a_full_disk_loses_nothing_and_goes_on(results_on_disk):
    disk, folder = results_on_disk
    expected = digests(disk / "results")
    table = disk / "results/tables/boundaries.csv"
    for path in [table, *(disk / "results/boundaries").iterdir()]:
        path.unlink()
    before = digests(disk / "results")
    with open(disk / "filler", "wb") as filler:
        filler.write(bytes(shutil.disk_usage(disk).free - 2**13))
    failed = run(folder, "--", "results/tables/boundaries.csv")
    assert failed.returncode != 0
    assert "the disk or your quota is full: make room" in failed.stdout + failed.stderr
    assert before.items() <= digests(disk / "results").items()
    assert not list((disk / "results/boundaries").glob(".*"))
    (disk / "filler").unlink()
    again = run(folder, "--", "results/tables/boundaries.csv")
    assert again.returncode == 0, again.stderr[-4000:]
    assert digests(disk / "results") == expected


@needs_mount
def test_a_read_only_folder_is_named(small_disk, tmp_path):
    small_disk("size=1m", "ro")
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    failed = run(tmp_path, "--", "results/dataset/index.csv")
    assert failed.returncode != 0
    assert "Read-only file system: 'results/dataset'" in failed.stdout + failed.stderr


@needs_mount
def test_results_that_became_read_only_are_named_and_stay(results_on_disk):
    disk, folder = results_on_disk
    before = digests(disk)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    target = "results/labels/train_aug_0.txt"  # of several jobs, Snakemake names any
    failed = run(folder, "--forcerun", "refine_labels", "--", target)
    assert failed.returncode != 0
    output = failed.stdout + failed.stderr
    assert "Write-protected output files for rule refine_labels" in output
    assert target in output
    assert digests(disk) == before


def test_a_second_run_is_refused_with_the_remedy(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "copy", symlinks=True)
    folder = tmp_path / "copy"
    lock = folder / ".snakemake/locks"
    command = [*SNAKEMAKE, "--directory", str(folder), "--cores", "1", "--forcerun", "train_cam"]
    command += ["--configfile", str(TINY_YAML), "--", "results/cam/network.pt"]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as first:
        try:
            for _ in range(1200):  # two minutes: a busy machine is slow to start
                if lock.is_dir() and any(lock.iterdir()):
                    break
                time.sleep(0.1)
            os.killpg(first.pid, signal.SIGSTOP)  # it holds the lock for as long as it is wanted
            second = run(folder, "--forcerun", "train_cam", "--", "results/cam/network.pt")
        finally:
            os.killpg(first.pid, signal.SIGKILL)
    assert second.returncode != 0
    output = second.stdout + second.stderr
    assert "Directory cannot be locked" in output
    assert "--unlock" in output
