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
import yaml
from safetensors.torch import save_file
from seeds import TINY_YAML
from small_data import Stubbed, write_folder
from workflow_runs import SNAKEMAKE, run

from psa_core.runtime import artifacts

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
        lambda path: save_file({"a": torch.ones(2**20)}, path),
    ],
    ids=["bytes", "npy", "hdf5", "torch", "safetensors"],
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
def test_a_run_on_a_full_disk_loses_nothing_and_goes_on(small_disk, tmp_path):
    disk, folder = small_disk("size=4m"), tmp_path / "run"
    folder.mkdir()
    (folder / "results").symlink_to(disk)
    config = folder / "preset.yaml"
    tiny = yaml.safe_load(TINY_YAML.read_text())
    config.write_text(yaml.safe_dump({**tiny, "dataset": write_folder(folder)}))
    targets = [f"results/dataset/masks/val_{shard}.txt" for shard in (1, 3)]
    first = run(folder, "--", *targets, config=config)
    assert first.returncode == 0, first.stderr[-4000:]
    expected = digests(disk)
    assert {"v0.png", "v1.png", "v2.png"} < {Path(name).name for name in expected}

    for path in (disk / "dataset/masks").iterdir():
        path.unlink()
    before = digests(disk)
    with open(disk / "filler", "wb") as filler:
        filler.write(bytes(shutil.disk_usage(disk).free - 2**13))  # room for logs
    failed = run(folder, "--", *targets, config=config)
    assert failed.returncode != 0
    assert "the disk or your quota is full: make room" in failed.stdout + failed.stderr
    assert before.items() <= digests(disk).items()
    assert not list((disk / "dataset/masks").glob(".*"))
    (disk / "filler").unlink()
    again = run(folder, "--", *targets, config=config)
    assert again.returncode == 0, again.stderr[-4000:]
    assert digests(disk) == expected


@needs_mount
def test_a_read_only_folder_is_named(small_disk, tmp_path):
    small_disk("size=1m", "ro")
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    failed = run(tmp_path, "--", "results/dataset/classes.txt")
    assert failed.returncode != 0
    assert "Read-only file system: 'results/dataset'" in failed.stdout + failed.stderr


def run_stubs(stubs: Stubbed, *arguments: str) -> subprocess.CompletedProcess:
    project = ["--snakefile", f"{stubs.project}/Snakefile"]
    return run(stubs.folder, *project, *arguments, config=stubs.folder / "preset.yaml")


@needs_mount
def test_results_that_became_read_only_are_named_and_stay(small_disk, stubbed, tmp_path):
    disk, stubs = small_disk("size=16m"), stubbed.copy(tmp_path / "run")
    shutil.move(stubs.folder / "results", disk)
    (stubs.folder / "results").symlink_to(disk / "results")
    before = digests(disk)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    target = "results/pseudo_labels/train_aug_0.txt"  # of several jobs, Snakemake names any
    failed = run_stubs(stubs, "--forcerun", "make_pseudo_labels", "--", target)
    assert failed.returncode != 0
    output = failed.stdout + failed.stderr
    assert "Write-protected output files for rule make_pseudo_labels" in output
    assert target in output
    assert digests(disk) == before


def test_a_second_run_is_refused_with_the_remedy(stubbed, tmp_path):
    stubs = stubbed.copy(tmp_path / "run")
    lock = stubs.folder / ".snakemake/locks"
    command = [*SNAKEMAKE, "--snakefile", f"{stubs.project}/Snakefile", "--cores", "1"]
    command += ["--directory", str(stubs.folder), "--configfile", str(stubs.folder / "preset.yaml")]
    forced = ["--forcerun", "train_cam", "--", "results/cam/network.safetensors"]
    with subprocess.Popen(
        [*command, *forced],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as first:
        try:
            for _ in range(1200):  # two minutes: a busy machine is slow to start
                if lock.is_dir() and any(lock.iterdir()):
                    break
                time.sleep(0.1)
            os.killpg(first.pid, signal.SIGSTOP)  # it keeps the lock while the second run starts
            second = run_stubs(stubs, *forced)
        finally:
            os.killpg(first.pid, signal.SIGKILL)
    assert second.returncode != 0
    output = second.stdout + second.stderr
    assert "Directory cannot be locked" in output
    assert "--unlock" in output
