"""Trainings of networks of two layers, for tests that kill them or run them on several devices."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from seeds import SEED
from torch import nn

from psa_core.method import affinity, cam, segmentation
from psa_core.runtime import logs
from psa_core.runtime.artifacts import write_table
from psa_core.training.augmentation import TrainingImages, training_transform
from psa_core.training.loop import Machine, fit

OPTIMIZER = {
    "name": "sgd",
    "learning_rate": 0.1,
    "momentum": 0.9,
    "new_layer_factor": 10,
    "bias_factor": 2,
    "weight_decay": 5e-4,
    "schedule": "poly",
}
TRANSFORM = {
    "crop_size": 16,
    "longest_side": [16, 24],
    "color_jitter": {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1},
}
ALONE = Machine("cpu", devices=1, threads=1)

# A new process takes seconds to import torch and Lightning; a fork of a server that has does not.
FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(["psa_core.training.loop", "psa_core.method.affinity"])


def start(target: Callable, *arguments: object, **environment: str):
    """Call a function in a new process with more environment variables."""
    process = FORKSERVER.Process(target=_run, args=(target, arguments, environment))
    process.start()
    return process


def _run(target: Callable, arguments: tuple, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    multiprocessing.set_start_method("fork", force=True)  # of loader workers, as in a job
    target(*arguments)


class Tiny(nn.Module):
    """A backbone with a batch norm, dropout and a new layer: [B, 2] scores."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(4, 2)

    def forward(self, images):
        return self.head(self.dropout(self.backbone(images).mean((2, 3))))


def losses(network, images, labels):
    fit = (network(images) - labels).square().mean()
    size = network.head.weight.square().sum()
    return {"fit": fit, "size": size, "loss": fit + 0.01 * size}


def tiny_images(paths: list[Path], seed: int = SEED) -> TrainingImages:
    labels = [torch.tensor([float(i % 2), 1 - i % 2]) for i in range(len(paths))]
    return TrainingImages(paths, labels, training_transform(**TRANSFORM), seed=seed)


def train_tiny(
    folder: Path, paths: list[Path], before_step: Callable[[int], None] = lambda _: None
) -> None:
    """Twelve steps; writes network.pt, losses.csv and, before each step, a byte to `calls`."""

    def called(network, images, labels):
        with open(folder / "calls", "a") as calls:
            calls.write("x")
        before_step((folder / "calls").stat().st_size)
        return losses(network, images, labels)

    torch.manual_seed(3 + SEED)
    network = Tiny()
    table = fit(
        network, called, tiny_images(paths), epochs=3, batch_size=2, optimizer=OPTIMIZER,
        machine=ALONE, folder=folder / "checkpoints", stamp=0,
    )  # fmt: skip
    torch.save(network.state_dict(), folder / "network.pt")
    write_table(folder / "losses.csv", table)


def train_as_allowed(folder: Path, paths: list[Path]) -> None:
    """Steps of 20 ms; all runs together may take as many as folder/allowed has bytes."""

    def wait(step):
        time.sleep(0.02)
        while step > (folder / "allowed").stat().st_size:
            time.sleep(0.005)

    train_tiny(folder, paths, wait)


def train_until_half_saved(folder: Path, paths: list[Path]) -> None:
    """Kills itself with half of its second checkpoint written."""
    saved, save = [], torch.save

    def save_half(state, path):
        saved.append(path)
        save(state, path)
        if len(saved) == 2:
            os.truncate(path, os.path.getsize(path) // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    torch.save = save_half
    train_tiny(folder, paths)


def train_until_signalled(folder: Path, paths: list[Path], number: int) -> None:
    """Signals itself and its workers in the sixth step, as SLURM does."""

    def send(step):
        if step == 6:
            os.killpg(0, number)

    os.setpgid(0, 0)
    train_tiny(folder, paths, send)


class Stages(nn.Module):
    """The three networks on one layer, and a layer that no loss reaches."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 8, 8, stride=8), nn.GroupNorm(2, 8), nn.BatchNorm2d(8), nn.ReLU()
        )
        self.backbone[2].requires_grad_(False)
        self.affinity = nn.Sequential(self.backbone, nn.Conv2d(8, 6, 1, bias=False))
        self.affinity.stride = 8
        self.cam = nn.Sequential(
            self.backbone, nn.Conv2d(8, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.segmentation = nn.Sequential(self.backbone, nn.Conv2d(8, 3, 1))
        self.unused = nn.Linear(2, 2)

    def train(self, mode: bool = True) -> Stages:
        super().train(mode)
        self.backbone[2].eval()
        return self


def stage_losses(network: Stages, images: torch.Tensor, labels: torch.Tensor) -> dict:
    """All losses of the three stages; `loss` is their sum."""
    images = images.double()
    present = torch.stack([(labels == c).flatten(1).any(1) for c in (1, 2)], dim=1).double()
    settings = {"gamma": 3, "distance": "mean", "reduction": "centre"}
    terms = affinity.losses(network.affinity, images, labels, **settings)
    terms["affinity"] = terms.pop("loss")
    terms["cam"] = cam.losses(network.cam, images, present)["loss"]
    terms["segmentation"] = segmentation.losses(network.segmentation, images, labels)["loss"]
    terms["loss"] = terms["affinity"] + terms["cam"] + terms["segmentation"]
    return terms


def train_stages(folder: Path, images: Path, devices: int, fails: int = -1) -> None:
    """Twenty epochs of one step of four images; writes log, network.pt and losses.csv.

    In double precision: training amplifies how sums of floats round, which differs with the
    devices. fails: the device that fails in the second step.
    """
    steps = []

    def checked(network, images, labels):
        steps.append(len(images))
        if len(steps) == 2 and int(os.environ.get("LOCAL_RANK", 0)) == fails:
            raise RuntimeError("no memory left")
        return stage_losses(network, images, labels)

    torch.manual_seed(3 + SEED)
    network = Stages().double()
    paths = sorted(images.glob("*.png"))
    targets = [path.parent / "labels" / path.name for path in paths]
    transform = training_transform(**TRANSFORM | {"crop_size": 40, "longest_side": [40, 48]})
    with logs.stage(folder / "log"):
        table = fit(
            network, checked, TrainingImages(paths, targets, transform, seed=SEED), epochs=20,
            batch_size=4, optimizer=OPTIMIZER | {"name": "adamw", "learning_rate": 0.01},
            machine=Machine("cpu", devices, threads=1), folder=folder / "checkpoints", stamp=0,
        )  # fmt: skip
    assert set(steps) == {4 // devices}
    if table is not None:
        torch.save(network.state_dict(), folder / "network.pt")
        table.to_csv(folder / "losses.csv", index=False)


def train_stages_as_script(folder: Path, images: Path, fails: int) -> None:
    """This file run as a script for two devices; Lightning starts the second by the command line.

    What both print goes to folder/printed.
    """
    with open(folder / "printed", "w") as printed:
        os.dup2(printed.fileno(), sys.stderr.fileno())
    sys.argv = [__file__, str(folder), str(images), "2", str(fails)]
    sys.modules["__main__"].__spec__ = None  # as of a script; pytest may run by `python -m`
    train_stages(folder, images, 2, fails)


if __name__ == "__main__":
    folder, images, devices, fails = sys.argv[1:]
    train_stages(Path(folder), Path(images), int(devices), int(fails))
