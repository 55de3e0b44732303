"""The workflow through a real sbatch, with profiles/slurm."""

import signal
import subprocess
import time
import zlib
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from cluster import cluster
from PIL import Image
from seeds import ROOT, TINY_YAML
from workflow_runs import SNAKEMAKE

pytestmark = pytest.mark.slurm

TINY = yaml.safe_load(TINY_YAML.read_text())
# What a node of two CPUs without accounting needs in place of the profile's settings. The number of
# threads is that of the local run, since sums of floats depend on it.
HERE = ["--slurm-no-account", "--slurm-status-command", "squeue", "--max-threads", "2"]
HERE += ["--slurm-init-seconds-before-status-checks", "10", "--latency-wait", "10"]


@pytest.fixture(scope="module", autouse=True)
def slurm():
    before = signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # so that it stops the daemons, too
    with cluster():
        yield
    signal.signal(signal.SIGTERM, before)


def command(folder: Path, profile: str, config: dict, *arguments: str) -> list[str]:
    """The command that runs the workflow in a folder."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    snakemake = [*SNAKEMAKE, "--directory", str(folder), "--configfile", str(path)]
    return [*snakemake, "--workflow-profile", str(ROOT / "profiles" / profile), *arguments]


def run(command: list[str]) -> tuple[int, str]:
    """The exit status of a command and what it prints."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.returncode, done.stdout


def test_a_failing_shard_is_shown_with_its_log(tmp_path):
    """Of eight shards, which one job of SLURM indexes."""
    data = tmp_path / "data"
    data.mkdir()
    images = [f"image{number}" for number in range(40)]
    for image in images:
        Image.new("RGB", (32, 32)).save(data / f"{image}.png")
    (data / "image7.png").write_text("no image")
    rows = "".join(f"{image}.png,cat\n" for image in images)
    (data / "labels.csv").write_text("image,labels\n" + rows)
    dataset = {"format": "folder", "root": "data", "shards": 8, "val_fraction": 0}
    config = {**TINY, "dataset": dataset}
    config["affinity_labels"] = {**TINY["affinity_labels"], "true_masks": []}
    config["segmentation"] = {**TINY["segmentation"], "upper_bound": False}
    tables = [f"results/dataset/images/train_aug_{shard}.csv" for shard in range(8)]
    arguments = [*HERE, "--retries", "0", "--", *tables]
    status, printed = run(command(tmp_path, "slurm", config, *arguments))
    assert status == 1, printed
    assert printed.count("has been submitted with SLURM jobid") == 1
    shard = f"train_aug_{zlib.crc32(b'image7') % 8}"
    assert "Error in rule index_images:" in printed
    assert f"log: results/logs/index_images/{shard}.log" in printed
    assert "data/image7.png: cannot be decoded" in printed


def test_the_workflow_resumes_after_scancel_and_gives_what_a_local_run_gives(tmp_path):
    local, remote = tmp_path / "local", tmp_path / "slurm"
    local.mkdir()
    remote.mkdir()
    config = deepcopy(TINY)
    config["dataset"]["shards"] = 1
    config["cam"]["training"]["epochs"] = 15  # so that it can be stopped on its way
    status, printed = run(command(local, "default", config, "--cores", "2", "results/metrics.csv"))
    assert status == 0, printed

    arguments = [*HERE, "--retries", "0", "--", "results/metrics.csv"]
    submit = command(remote, "slurm", config, *arguments)
    printed = remote / "printed"
    with printed.open("w") as file, subprocess.Popen(submit, stdout=file, stderr=file) as workflow:
        while not (remote / "results/.checkpoints/cam/last.ckpt").exists():
            assert workflow.poll() is None, printed.read_text()
            time.sleep(0.2)
        subprocess.run(["scancel", "--user", "root"], check=True)
    assert workflow.returncode == 1
    assert "Error in rule train_cam:" in printed.read_text()
    assert not (remote / "results/cam/network.safetensors").exists()
    assert "SIGTERM: stopped after step" in (remote / "results/logs/train_cam.log").read_text()

    status, printed = run(submit)
    assert status == 0, printed
    assert "resuming from" in (remote / "results/logs/train_cam.log").read_text()
    metrics = [folder / "results/metrics.csv" for folder in (local, remote)]
    assert metrics[1].read_bytes() == metrics[0].read_bytes()


def test_srun_starts_a_training_of_two_tasks(tmp_path):
    """The same bytes as from two processes that the training starts by itself."""
    local, remote = tmp_path / "local", tmp_path / "slurm"
    local.mkdir()
    remote.mkdir()
    config = {**TINY, "devices": 2}
    target = "results/cam/network.safetensors"
    status, printed = run(command(local, "default", config, "--cores", "2", target))
    assert status == 0, printed

    tasks = ["--set-resources", "train_cam:tasks=2", "train_cam:mpi=srun", "--max-threads", "1"]
    status, printed = run(command(remote, "slurm", config, *HERE, *tasks, "--", target))
    assert status == 0, printed
    log = (remote / "results/logs/train_cam.log").read_text()
    assert log.count("python 3.") == log.count("done in") == 2  # the job and the first of its tasks
    assert log.count("epoch 4/4") == 1
    assert (remote / target).read_bytes() == (local / target).read_bytes()
