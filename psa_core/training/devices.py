"""Training on several devices: one process per device, on one node or several."""

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

from psa_core.errors import UserError
from psa_core.runtime.logs import APPEND
from psa_core.training.resume import SIGNALS, WholeCheckpoints


def processes(device: torch.device, devices: int) -> dict:
    """Arguments of Lightning's Trainer: number of processes and nodes, and who starts them.

    devices: number of processes on all nodes together.
    In a SLURM job step of that many tasks, the tasks are the processes. Otherwise Lightning starts
    them on this node.
    Raises UserError if this node has too few GPUs.
    """
    # By default Lightning makes SLURM requeue the job on a signal; here the workflow resumes it.
    environment, nodes = LightningEnvironment(), 1
    if devices > 1 and os.environ.get("SLURM_STEP_NUM_TASKS") == str(devices):
        environment = SLURMEnvironment(auto_requeue=False)
        nodes = int(os.environ["SLURM_STEP_NUM_NODES"])
    if device.type == "cuda" and devices // nodes > torch.cuda.device_count():
        raise UserError(
            f"devices is {devices} on {nodes} node(s), but torch sees {torch.cuda.device_count()} "
            "GPU(s) on this one; lower devices"
        )
    return {
        "accelerator": "gpu" if device.type == "cuda" else "cpu",
        "devices": devices // nodes,
        "num_nodes": nodes,
        # static_graph allows parameters without gradient: a loss may not use all of a backbone.
        "strategy": DDPStrategy(static_graph=True) if devices > 1 else "auto",
        "plugins": [WholeCheckpoints(), environment],
    }


def run_in_tasks(launcher: str | None, devices: int, nodes: int) -> bool:
    """In a SLURM job of several tasks, run this script once per device and wait for them all.

    launcher: command that starts the tasks of a job, "srun"; None outside such a job.
    devices: number of tasks, the same number on each of `nodes` nodes.
    Returns True if it did so, and the caller has nothing left to do; False in the tasks themselves
    and without a launcher.
    Raises SystemExit if a task fails or a signal ends them.
    """
    if not launcher or os.environ.get("SLURM_STEP_NUM_TASKS") == str(devices):
        return False
    tasks = [f"--nodes={nodes}", f"--ntasks={devices}", f"--ntasks-per-node={devices // nodes}"]
    command = [launcher, *tasks, "--kill-on-bad-exit", sys.executable, *sys.argv]
    child = subprocess.Popen(command, env={**os.environ, APPEND: "1"})
    for number in SIGNALS:
        signal.signal(number, lambda number, _: child.send_signal(number))
    if status := child.wait():
        raise SystemExit(
            f"{launcher} ended with status {status}; see the messages of its tasks above"
        )
    return True


def share_batch_norms(network: nn.Module) -> None:
    """Make trainable batch norms, in place, take their statistics from the batch of all GPUs."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d) and child.weight.requires_grad:
                setattr(parent, name, convert_sync_batchnorm(child))
