"""Shared training loop, built on Lightning."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import lightning
import pandas as pd
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader

from psa_core.datasets.cache import longest_side_of
from psa_core.datasets.index import ImageRow
from psa_core.errors import UserError
from psa_core.networks.builder import build
from psa_core.networks.files import write_network
from psa_core.runtime.artifacts import write_table
from psa_core.runtime.compute import open_device
from psa_core.runtime.stages import length_of
from psa_core.training import resume
from psa_core.training.augmentation import EpochSampler, TrainingImages, training_transform
from psa_core.training.devices import processes, run_in_tasks, share_batch_norms
from psa_core.training.optimizer import build_optimizer
from psa_core.training.report import Report
from psa_core.training.workers import number_of_workers

log = logging.getLogger(__name__)

Losses = Callable[[nn.Module, torch.Tensor, torch.Tensor], dict[str, torch.Tensor]]


class Examples(NamedTuple):
    """What a network learns from.

    images: rows of the image tables.
    targets: for each image a float tensor [C] of zeros and ones, or the path of a label map.
    classes: names of the object classes, in the order of their indices.
    root: folder of the data set; its name goes into the network file.
    cache: file written by `cache.write_cache`, read in place of the image files, or None.
    """

    images: Sequence[ImageRow]
    targets: Sequence[torch.Tensor | str | Path]
    classes: Sequence[str]
    root: str | Path
    cache: str | Path | None = None


class Machine(NamedTuple):
    """What a training runs on.

    device: "auto", "cpu" or "cuda".
    devices: number of processes, each with a GPU of its own if `device` is one. They are the tasks
    of the SLURM job step if it has that many; otherwise this process starts the others, which run
    the same script.
    threads: CPU cores for all processes together; with a launcher, for each of them.
    launcher, nodes: see `devices.run_in_tasks`.
    """

    device: str
    devices: int
    threads: int
    launcher: str | None = None
    nodes: int = 1


class Outputs(NamedTuple):
    """Where a training writes.

    network: file of the trained network. losses: table of mean losses, one row per epoch.
    checkpoints: folder used by this training alone; removed once the network is written.
    """

    network: str | Path
    losses: str | Path
    checkpoints: str | Path


def train(
    stage: str,
    losses: Losses,
    examples: Examples,
    settings: dict,
    machine: Machine,
    outputs: Outputs,
) -> None:
    """Build the network of a stage, train it and write it.

    stage: "cam", "affinity" or "segmentation".
    losses: function of (network, images, targets) and `settings["losses"]` that returns the named
    loss terms of a batch as scalars; "loss" is the one to minimise.
    settings: the sections `network` and `training` of the stage's configuration, `losses` (keyword
    arguments of `losses`), `seed`, and anything else that the weights depend on. A checkpoint with
    other settings or examples is deleted.
    Raises UserError and SystemExit as `fit` does.
    """
    if run_in_tasks(machine.launcher, machine.devices, machine.nodes):
        return
    network, training, seed = settings["network"], dict(settings["training"]), settings["seed"]
    paths, reading = [row.path for row in examples.images], examples.images[0].reading
    cached_side = examples.cache and longest_side_of(examples.cache)
    stamp = [stage, settings, list(examples.classes), paths, cached_side]
    stamp += [reading._asdict(), [row.sha256 for row in examples.images], _digest(examples.targets)]
    transform = training_transform(
        **{key: training.pop(key) for key in ("crop_size", "longest_side", "color_jitter")}
    )
    least_steps = training.pop("least_steps")
    epochs, batch_size = training.pop("epochs"), training.pop("batch_size")
    training |= length_of(len(paths), epochs, batch_size, least_steps, devices=machine.devices)
    length = ", ".join(f"{training[key]} {key}" for key in ("epochs", "passes", "batch_size"))
    log.info("%d images: %s", len(paths), length)
    torch.manual_seed(seed)
    built = build(stage, network, len(examples.classes))
    table = fit(
        built,
        partial(losses, **settings["losses"]),
        TrainingImages(
            paths, examples.targets, transform, seed=seed, cache=examples.cache, reading=reading
        ),
        **training,
        machine=machine,
        folder=Path(outputs.checkpoints),
        stamp=stamp,
    )
    if table is None:
        return
    about = {
        "dataset": Path(examples.root).resolve().name,
        "seed": seed,
        "training": settings["training"],
        "images": reading._asdict(),
    }
    write_network(outputs.network, built, stage, network, examples.classes, **about)
    write_table(outputs.losses, table)
    shutil.rmtree(outputs.checkpoints)


def _digest(targets: Sequence[torch.Tensor | str | Path]) -> str:
    digest = hashlib.sha256()
    for target in targets:
        if isinstance(target, torch.Tensor):
            digest.update(target.numpy().tobytes())
        else:
            digest.update(Path(target).read_bytes())
    return digest.hexdigest()


def fit(
    network: nn.Module,
    losses: Losses,
    images: TrainingImages,
    *,
    epochs: int,
    batch_size: int,
    passes: int = 1,
    optimizer: dict,
    machine: Machine,
    folder: Path,
    stamp: object,
) -> pd.DataFrame | None:
    """Train a network in place; an interrupted training resumes when called with the same stamp.

    losses: returns the named loss terms of a batch; "loss" is the one to minimise.
    images: their seed also determines their order and the dropout.
    batch_size: number of images in a step over all devices.
    passes: number of passes over the images in each epoch.
    optimizer: keyword arguments of `build_optimizer`.
    folder: holds the last checkpoint while the training lasts.
    stamp: builtins that the weights depend on; a checkpoint with another stamp is deleted.
    Returns the mean losses, one row per epoch, in the process that writes them; None in the others.
    Raises UserError if there are fewer images than one batch, if the batch cannot be divided among
    the devices, if GPUs are missing, or if a loss is not finite; SystemExit after a signal (see
    `resume.StopOnSignal`).
    """
    if len(images) < batch_size:
        raise UserError(
            f"{len(images)} training images are fewer than one batch of {batch_size}: "
            "add images, or lower training.batch_size or devices"
        )
    if batch_size % machine.devices:
        raise UserError(
            f"training.batch_size {batch_size} cannot be divided equally among {machine.devices} "
            "devices: make it a multiple of devices"
        )
    threads = machine.threads
    if not machine.launcher:
        threads = max(1, threads // machine.devices)
    device = open_device(machine.device, threads)
    report = Report()
    trainer = lightning.Trainer(
        max_epochs=epochs,
        **processes(device, machine.devices),
        precision="16-mixed" if device.type == "cuda" else "32-true",
        logger=False,
        callbacks=[
            # The report comes first, so that a checkpoint holds the losses up to its own step.
            report,
            resume.StopOnSignal(folder / "last.ckpt"),
            ModelCheckpoint(folder, filename="last", enable_version_counter=False),
        ],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    checkpoint = resume.last_checkpoint(folder, stamp, is_first=trainer.is_global_zero)
    start = resume.steps_done(checkpoint)
    if checkpoint:
        log.info("resuming from %s, step %d", checkpoint, start)
    sampler = EpochSampler(
        len(images),
        seed=images.seed,
        passes=passes,
        batch_size=batch_size,
        rank=trainer.global_rank,
        world_size=trainer.world_size,
        start=start,
    )
    part = batch_size // machine.devices
    sharers = machine.devices // machine.nodes
    workers = number_of_workers(images, part, device=device, threads=threads, sharers=sharers)
    loader = DataLoader(
        images,
        batch_size=part,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=resume.ignore_signals,
        drop_last=True,
        pin_memory=device.type == "cuda",
    )
    # Lightning does not call train(), which also keeps the norms of frozen stages in eval mode.
    network.to(memory_format=torch.channels_last).train()
    if machine.devices > 1 and device.type == "cuda":
        share_batch_norms(network)
    task = Task(network, losses, optimizer, seed=images.seed)
    trainer.fit(task, loader, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    network.cpu().eval()
    return pd.DataFrame(report.rows) if trainer.is_global_zero else None


class Task(lightning.LightningModule):
    """A network, its losses and its optimizer, in the form that Lightning expects; see `fit`."""

    def __init__(self, network: nn.Module, losses: Losses, optimizer: dict, *, seed: int):
        super().__init__()
        self.network, self.losses, self.optimizer, self.seed = network, losses, optimizer, seed

    def on_train_batch_start(self, batch: object, batch_idx: int) -> None:
        # Dropout then depends on step and device only, so a resumed training repeats it exactly.
        step = (self.seed + self.global_step) * self.trainer.world_size
        torch.manual_seed(step + self.global_rank)

    def training_step(
        self, batch: tuple[torch.Tensor, torch.Tensor], _: int
    ) -> dict[str, torch.Tensor]:
        return self.losses(self.network, *batch)

    def configure_optimizers(self) -> dict:
        steps = self.trainer.estimated_stepping_batches
        optimizer, scheduler = build_optimizer(self.network, steps, **self.optimizer)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }
