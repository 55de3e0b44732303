"""The training loop that the three networks share; it belongs to Lightning."""

from __future__ import annotations

import hashlib
import logging
import math
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import lightning
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from torch import nn
from torch.utils.data import DataLoader

from psa_core import networks, resume
from psa_core.artifacts import write_table
from psa_core.augmentation import EpochSampler, TrainingImages, training_transform
from psa_core.compute import open_device
from psa_core.datasets.cache import longest_side_of
from psa_core.devices import processes, run_in_tasks, share_batch_norms

log = logging.getLogger(__name__)

Losses = Callable[[nn.Module, torch.Tensor, torch.Tensor], dict[str, torch.Tensor]]


def parameter_groups(
    network: nn.Module,
    *,
    learning_rate: float,
    new_layer_factor: float,
    bias_factor: float,
    weight_decay: float,
) -> list[dict]:
    """Optimizer groups: backbone and new layers, weights and biases apart (as the release does).

    New layers learn `new_layer_factor` times faster than the backbone, biases `bias_factor` times
    faster than weights; one-dimensional parameters (biases, norms) have no weight decay.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    backbone = {id(parameter) for parameter in network.backbone.parameters()}
    for parameter in network.parameters():
        if parameter.requires_grad:
            key = (id(parameter) not in backbone, parameter.ndim <= 1)
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": learning_rate
            * (new_layer_factor if is_new else 1)
            * (bias_factor if is_bias else 1),
            "weight_decay": 0.0 if is_bias else weight_decay,
        }
        for (is_new, is_bias), parameters in groups.items()
    ]


class Task(lightning.LightningModule):
    """A network, its losses and its optimizer, as Lightning wants them.

    losses: returns the named terms of a batch; "loss" is the one that is minimised.
    optimizer: section `optimizer` of the configuration.
    """

    def __init__(self, network: nn.Module, losses: Losses, optimizer: dict, *, seed: int):
        super().__init__()
        self.network, self.losses, self.optimizer, self.seed = network, losses, optimizer, seed

    def on_train_batch_start(self, batch: object, batch_idx: int) -> None:
        # Dropout then depends on step and device alone: a resumed training repeats an unbroken one.
        step = (self.seed + self.global_step) * self.trainer.world_size
        torch.manual_seed(step + self.global_rank)

    def training_step(
        self, batch: tuple[torch.Tensor, torch.Tensor], _: int
    ) -> dict[str, torch.Tensor]:
        terms = self.losses(self.network, *batch)
        self.log("running_loss", terms["loss"].detach(), prog_bar=True, logger=False)
        return terms

    def configure_optimizers(self) -> dict:
        options = dict(self.optimizer)
        name, schedule = options.pop("name"), options.pop("schedule")
        momentum = options.pop("momentum")
        groups = parameter_groups(self.network, **options)
        if name == "sgd":
            optimizer = torch.optim.SGD(groups, momentum=momentum)
        else:
            optimizer = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name](groups)
        steps = self.trainer.estimated_stepping_batches
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, learning_rate_at(schedule, steps))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


def learning_rate_at(schedule: str, steps: int) -> Callable[[int], float]:
    """Factor on the learning rate at each step: "poly" (power 0.9, the release's) or "constant"."""
    if schedule == "poly":
        return lambda step: max(0.0, 1 - step / steps) ** 0.9
    return lambda step: 1.0


def train(
    stage: str,
    losses: Losses,
    paths: Sequence[str | Path],
    targets: Sequence[torch.Tensor | str | Path],
    *,
    loss_settings: dict | None = None,
    classes: int,
    network: dict,
    training: dict,
    seed: int,
    digests: Sequence[str],
    checkpoints: str | Path,
    output: str | Path,
    losses_output: str | Path,
    device: str,
    devices: int,
    threads: int,
    cache: str | Path | None = None,
    launcher: str | None = None,
    nodes: int = 1,
) -> None:
    """Build the network of a stage, train it on images and targets, write it.

    stage: "cam", "affinity" or "segmentation". losses: the named terms of a batch; called with
    `loss_settings`.
    paths, targets, cache: see `TrainingImages`. classes: number of object classes C.
    network, training: the sections of the stage's configuration.
    digests: of code and image files; a checkpoint of others is thrown away.
    devices: see `fit`. launcher, nodes: see `run_in_tasks`.
    threads: cores of this node, or of each task of a SLURM job.
    checkpoints: a folder of this training's own; removed once the network is written.
    output, losses_output: files of the network and of its losses, one row per epoch.
    Raises ValueError where there are fewer images than one batch, or a loss is not finite.
    """
    if run_in_tasks(launcher, devices, nodes):
        return
    if not launcher:  # SLURM gives each task as many
        threads = max(1, threads // devices)
    chosen = open_device(device, threads)
    files = [path for path in [Path(network.get("weights", ""))] if path.is_file()]
    stamp = [stage, classes, network, training, seed, list(map(str, paths))]
    stamp += [_digests(targets), _digests(files), loss_settings, *digests]
    stamp += [cache and longest_side_of(cache)]
    training = dict(training)
    transform = training_transform(
        **{key: training.pop(key) for key in ("crop_size", "longest_side", "color_jitter")}
    )
    torch.manual_seed(seed)
    built = networks.build(stage, network, classes)
    images = TrainingImages(paths, targets, transform, seed=seed, cache=cache)
    table = fit(
        built,
        partial(losses, **(loss_settings or {})),
        images,
        **training,
        seed=seed,
        folder=Path(checkpoints),
        stamp=stamp,
        device=chosen,
        devices=devices,
        workers=max(1, threads // 2),
    )
    if table is None:
        return
    networks.write(output, built, stage, network, classes)
    write_table(losses_output, table)
    shutil.rmtree(checkpoints)


def _digests(targets: Sequence[torch.Tensor | str | Path]) -> str:
    digest = hashlib.sha256()
    for target in targets:
        is_label = isinstance(target, torch.Tensor)
        digest.update(target.numpy().tobytes() if is_label else Path(target).read_bytes())
    return digest.hexdigest()


def fit(
    network: nn.Module,
    losses: Losses,
    images: TrainingImages,
    *,
    epochs: int,
    batch_size: int,
    optimizer: dict,
    seed: int,
    folder: Path,
    stamp: object,
    device: torch.device,
    devices: int = 1,
    workers: int = 0,
) -> pd.DataFrame | None:
    """Train a network in place; interrupted, the next call with the same stamp goes on.

    batch_size: images of a step over all devices.
    folder: where the last checkpoint lives while the training lasts.
    stamp: builtins that the weights depend on; a checkpoint with another stamp is thrown away.
    devices: number of processes, each with a GPU where `device` is one. They are those of the SLURM
    job step where it has as many tasks; else this process starts the others, which run its script.
    workers: processes that load images, for each device.
    Returns the mean losses, one row an epoch, in the process that is to write them; in others None.
    Raises ValueError for fewer images than a batch, a batch or GPUs that do not suit the devices,
    and a loss that is not finite; SystemExit after a signal (see `resume.StopOnSignal`).
    """
    if len(images) < batch_size:
        raise ValueError(
            f"{len(images)} training images are fewer than one batch of {batch_size}: "
            "add images, or lower training.batch_size"
        )
    if batch_size % devices:
        raise ValueError(
            f"training.batch_size {batch_size} cannot be shared equally by {devices} devices: "
            "set one of them to a divisor of the other"
        )
    is_terminal = sys.stderr.isatty()
    report = Report()
    trainer = lightning.Trainer(
        max_epochs=epochs,
        **processes(device, devices),
        precision="16-mixed" if device.type == "cuda" else "32-true",
        logger=False,
        callbacks=[
            # The report comes first, so that a checkpoint holds the losses up to its own step.
            report,
            resume.StopOnSignal(folder / "last.ckpt"),
            ModelCheckpoint(folder, filename="last", enable_version_counter=False),
            *([TQDMProgressBar()] if is_terminal else []),
        ],
        enable_progress_bar=is_terminal,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    checkpoint = resume.last_checkpoint(folder, stamp, is_first=trainer.is_global_zero)
    start = resume.steps_done(checkpoint)
    if checkpoint:
        log.info("going on from %s, step %d", checkpoint, start)
    sampler = EpochSampler(
        len(images),
        seed=seed,
        batch_size=batch_size,
        rank=trainer.global_rank,
        world_size=trainer.world_size,
        start=start,
    )
    loader = DataLoader(
        images,
        batch_size=batch_size // devices,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=resume.ignore_signals,
        drop_last=True,
        pin_memory=device.type == "cuda",
    )
    # Lightning leaves the mode as it is; `train` keeps the norms of frozen stages as they are.
    network.to(memory_format=torch.channels_last).train()
    if devices > 1 and device.type == "cuda":
        share_batch_norms(network)
    task = Task(network, losses, optimizer, seed=seed)
    trainer.fit(task, loader, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    network.cpu().eval()
    return pd.DataFrame(report.rows) if trainer.is_global_zero else None


class Report(Callback):
    """Mean losses of each epoch, in a line with the time left; stops at one that is not finite."""

    def __init__(self):
        self.start, self.first = 0.0, 0
        self.sums: dict[str, torch.Tensor | float] = {}  # of the epoch's steps so far
        self.rows: list[dict[str, float]] = []

    def state_dict(self) -> dict:
        sums = {name: float(total) for name, total in self.sums.items()}
        return {"rows": self.rows, "sums": sums}

    def load_state_dict(self, state: dict) -> None:
        self.rows, self.sums = state["rows"], state["sums"]

    def on_train_start(self, trainer: lightning.Trainer, task: Task) -> None:
        self.start, self.first = time.monotonic(), trainer.global_step

    def on_train_batch_end(
        self, trainer: lightning.Trainer, task: Task, outputs: dict[str, torch.Tensor], *_: object
    ) -> None:
        for name, value in outputs.items():
            value = trainer.strategy.reduce(value.detach().double(), reduce_op="mean")
            self.sums[name] = self.sums.get(name, 0.0) + value

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: Task) -> None:
        steps = trainer.num_training_batches
        losses = {name: float(total) / steps for name, total in sorted(self.sums.items())}
        if not all(map(math.isfinite, losses.values())):
            raise ValueError(f"a loss is not finite ({losses}): lower optimizer.learning_rate")
        self.sums = {}
        done = trainer.current_epoch + 1
        self.rows.append({"epoch": done, **losses})
        seconds = time.monotonic() - self.start
        step, end = trainer.global_step, trainer.estimated_stepping_batches
        left = seconds / (step - self.first) * (end - step)
        terms = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
        log.info(
            "epoch %d/%d: %s, %.0f s so far, %.0f s left",
            done,
            trainer.max_epochs,
            terms,
            seconds,
            left,
        )
