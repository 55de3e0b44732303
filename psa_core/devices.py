"""Trainings on several devices: a process for each, on one node or several."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import torch
from lightning.fabric.plugins.environments import LightningEnvironment, SLURMEnvironment
from lightning.pytorch.strategies import DDPStrategy
from timm.layers import convert_sync_batchnorm
from torch import nn

from psa_core.logs import APPEND
from psa_core.resume import SIGNALS, WholeCheckpoints


def processes(device: torch.device, devices: int) -> dict:
    """Arguments of Lightning's trainer: how many processes on how many nodes, and who starts them.

    Raises ValueError where there are fewer GPUs.
    """
    # Lightning would have SLURM requeue a job on a signal; the workflow itself goes on with it.
    environment, nodes = LightningEnvironment(), 1
    if devices > 1 and os.environ.get("SLURM_STEP_NUM_TASKS") == str(devices):
        environment = SLURMEnvironment(auto_requeue=False)
        nodes = int(os.environ["SLURM_STEP_NUM_NODES"])
    if device.type == "cuda" and devices // nodes > torch.cuda.device_count():
        raise ValueError(
            f"devices is {devices} on {nodes} node(s), but torch sees {torch.cuda.device_count()} "
            "GPU(s) on this one; lower devices"
        )
    return {
        "accelerator": "gpu" if device.type == "cuda" else "cpu",
        "devices": devices // nodes,
        "num_nodes": nodes,
        # Not all that a backbone computes enters each loss: some parameters have no gradient.
        "strategy": DDPStrategy(static_graph=True) if devices > 1 else "auto",
        "plugins": [WholeCheckpoints(), environment],
    }


def run_in_tasks(launcher: str | None, devices: int, nodes: int) -> bool:
    """In a SLURM job of several tasks: run this script in one for each device, and wait for them.

    launcher: what starts the tasks of a job, "srun"; None where there are none.
    Returns whether it did so; the tasks themselves have nothing to do here.
    Raises SystemExit where a task fails or a signal ends them.
    """
    if not launcher or os.environ.get("SLURM_STEP_NUM_TASKS") == str(devices):
        return False
    tasks = [f"--nodes={nodes}", f"--ntasks={devices}", f"--ntasks-per-node={devices // nodes}"]
    command = [launcher, *tasks, "--kill-on-bad-exit", sys.executable, *sys.argv]
    child = subprocess.Popen(command, env={**os.environ, APPEND: "1"})
    for number in SIGNALS:
        signal.signal(number, lambda number, _: child.send_signal(number))
    if status := child.wait():
        raise SystemExit(f"{launcher} ended with status {status}; its tasks have said why")
    return True


def share_batch_norms(network: nn.Module) -> None:
    """Batch norms that learn take their statistics from the whole batch of several GPUs."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d) and child.weight.requires_grad:
                setattr(parent, name, convert_sync_batchnorm(child))
