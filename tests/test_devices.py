"""Training on several devices: two processes on this CPU, against one with the same batches."""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import timm
import torch
from PIL import Image
from seeds import SEED
from tiny_training import start, train_stages, train_stages_as_script
from torch import nn

from psa_core.training import devices

ROOT = Path(__file__).parents[1]
# Seconds after which a training counts as hanging: many times what it takes on a busy machine.
HANGS = 900


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Four images; of the first two half of the labels are ignored, of the others a tenth."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(3 + SEED)
    (folder / "labels").mkdir()
    for i in range(4):
        noise = rng.integers(0, 256, (48, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{i}.png")
        labels = rng.integers(0, 3, (12, 10), dtype=np.uint8)
        labels[rng.random(labels.shape) < (0.5 if i < 2 else 0.1)] = 255
        Image.fromarray(labels.repeat(4, 0).repeat(4, 1)).save(folder / f"labels/{i}.png")
    return folder


def ended(process) -> int:
    process.join(HANGS)
    assert process.exitcode is not None
    return process.exitcode


@pytest.fixture(scope="module")
def alone(images, tmp_path_factory):
    """The folder of the same training on one device."""
    folder = tmp_path_factory.mktemp("alone")
    assert ended(start(train_stages, folder, images, 1)) == 0
    return folder


def is_running(folder) -> bool:
    """Whether a process has the folder on its command line, as a script's second device does."""
    commands = [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
    return any(str(folder) in (command or []) for command in commands)


def run_script(folder, images, fails=-1):
    """Run the script of two devices until both have ended; returns status and printed text."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    status = ended(start(train_stages_as_script, folder, images, fails, PYTHONPATH=path))
    latest = time.monotonic() + HANGS
    while is_running(folder):
        assert time.monotonic() < latest
        time.sleep(0.05)
    return status, (folder / "printed").read_text()


def assert_same_training(folder, alone):
    """Each loss of each of 20 steps within 1e-6, and the weights that they led to."""
    found, expected = (pd.read_csv(f / "losses.csv").set_index("epoch") for f in (folder, alone))
    assert len(expected) == 20
    assert list(expected) == [
        "affinity", "background", "cam", "foreground", "loss", "negative", "segmentation"
    ]  # fmt: skip
    assert (expected.nunique() == 20).all()  # each step changes them all
    pd.testing.assert_frame_equal(found, expected, rtol=1e-6, atol=0)
    weights = [torch.load(f / "network.pt", weights_only=True) for f in (folder, alone)]
    for name, value in weights[1].items():
        torch.testing.assert_close(weights[0][name], value, rtol=1e-6, atol=1e-6)


def test_two_devices_train_as_one(images, alone, tmp_path):
    status, printed = run_script(tmp_path, images)
    assert status == 0, printed
    assert_same_training(tmp_path, alone)
    log = (tmp_path / "log").read_text()
    assert log.count("python 3.") == log.count("epoch 20/20") == log.count("done in") == 1
    assert "device 1" not in printed


@pytest.mark.parametrize("nodes", [1, 2])
def test_tasks_of_a_slurm_step_train_as_one(images, alone, tmp_path, nodes):
    """As srun starts them: no process starts another, and only the first writes."""
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    processes = [
        start(
            train_stages,
            folders[rank],
            images,
            2,
            SLURM_JOB_ID=str(10_000 + os.getpid() % 9_000),
            SLURM_NTASKS="2",
            SLURM_STEP_NUM_TASKS="2",
            SLURM_STEP_NUM_NODES=str(nodes),
            SLURM_NNODES=str(nodes),
            SLURM_NTASKS_PER_NODE=str(2 // nodes),
            SLURM_NODELIST="127.0.0.1",
            SLURM_PROCID=str(rank),
            SLURM_LOCALID=str(rank if nodes == 1 else 0),
            SLURM_NODEID=str(0 if nodes == 1 else rank),
        )
        for rank in range(2)
    ]
    assert [ended(process) for process in processes] == [0, 0]
    assert_same_training(folders[0], alone)
    assert (folders[0] / "log").read_text().count("done in") == 1
    assert [path.name for path in folders[1].rglob("*")] == ["log"]
    assert (folders[1] / "log").read_text() == ""  # which holds errors only


@pytest.mark.parametrize("device", [0, 1])
def test_a_device_that_fails_ends_all(images, tmp_path, device):
    status, printed = run_script(tmp_path, images, fails=device)
    assert status != 0
    assert "RuntimeError: no memory left" in printed
    assert "RuntimeError: no memory left" in (tmp_path / "log").read_text()
    assert not (tmp_path / "network.pt").exists()


def test_more_gpus_than_there_are_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=r"devices is 2 on 1 node.*torch sees 1 GPU"):
        devices.processes(torch.device("cuda"), 2)


def test_trainable_batch_norms_are_shared_and_keep_their_activation():
    network = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    network.conv_stem.requires_grad_(False)
    network.bn1.requires_grad_(False)
    network.eval()
    names, image = list(network.state_dict()), torch.rand(1, 3, 32, 32)
    expected = network(image)
    devices.share_batch_norms(network)
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert [isinstance(norm, nn.SyncBatchNorm) for norm in norms] == [
        False, *[True] * (len(norms) - 1)
    ]  # fmt: skip
    assert list(network.state_dict()) == names
    assert torch.equal(network(image), expected)
