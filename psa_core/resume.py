"""Trainings that go on where they were interrupted: whole checkpoints, signals that save one."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import signal
import zipfile
from pathlib import Path

import lightning
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback

from psa_core.artifacts import replacing

log = logging.getLogger(__name__)

# What SLURM sends before the time limit, at it and on scancel, and a terminal on Ctrl-C.
SIGNALS = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are written whole or not at all.

    Lightning moves them from the system's temporary folder, and between file systems that copies.
    """

    def save_checkpoint(
        self, checkpoint: dict, path: str | Path, storage_options: None = None
    ) -> None:
        with replacing(path) as temporary:
            torch.save(checkpoint, temporary)


def last_checkpoint(folder: Path, stamp: object, *, is_first: bool) -> Path | None:
    """The checkpoint in a folder to go on from, if it is whole and has the stamp.

    stamp: builtins that the weights depend on.
    is_first: whether this process is the one that writes. It removes what another configuration
    left. The others only look, and find the same: the new stamp stands once the old files are gone.
    """
    digest = hashlib.sha256(json.dumps(stamp, sort_keys=True).encode()).hexdigest()
    stamped, checkpoint = folder / "stamp", folder / "last.ckpt"
    found = _read(stamped)
    if found == digest:
        if not checkpoint.exists():
            return None
        if _is_whole(checkpoint):
            return checkpoint
        log.warning("%s is damaged: training starts anew", checkpoint)
    elif found and is_first:
        log.info("%s belongs to another configuration, data or code: training starts anew", folder)
    if is_first:
        if folder.exists():
            shutil.rmtree(folder)
        with replacing(stamped) as temporary:
            temporary.write_text(digest)
    return None


def _read(stamped: Path) -> str | None:
    try:
        return stamped.read_text()
    except FileNotFoundError:  # none so far, or the first process is just removing it
        return None


def _is_whole(checkpoint: Path) -> bool:
    try:
        with zipfile.ZipFile(checkpoint) as members:
            return members.testzip() is None  # compares checksums, which torch.load does not
    except (OSError, zipfile.BadZipFile):
        return False


def steps_done(checkpoint: Path | None) -> int:
    """Steps that the weights of a checkpoint have had."""
    if checkpoint is None:
        return 0
    return torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["global_step"]


def ignore_signals(_: int) -> None:
    """For the loader's workers: SLURM signals them too, and the step in hand wants its images."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class StopOnSignal(Callback):
    """On a signal: saves the state after the step in hand, and ends the process with SystemExit.

    On several devices all stop after the same step, whichever the signal reached.
    """

    def __init__(self, checkpoint: Path):
        self.checkpoint, self.received = checkpoint, 0

    def on_train_start(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        # In place of Lightning's handlers, which save nothing; it puts back those before its own.
        for number in SIGNALS:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: object) -> None:
        self.received = number

    def on_train_batch_end(
        self, trainer: lightning.Trainer, task: lightning.LightningModule, *batch: object
    ) -> None:
        if not trainer.is_last_batch and self._is_asked(trainer):
            trainer.save_checkpoint(self.checkpoint)
            self._stop(trainer)

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, task: lightning.LightningModule
    ) -> None:
        if self._is_asked(trainer):  # during an epoch's last step, after which all is saved
            self._stop(trainer)

    def _is_asked(self, trainer: lightning.Trainer) -> bool:
        return trainer.strategy.reduce_boolean_decision(self.received > 0, all=False)

    def _stop(self, trainer: lightning.Trainer) -> None:
        name = signal.Signals(self.received).name if self.received else "a signal"
        raise SystemExit(
            f"{name}: stopped after step {trainer.global_step} of "
            f"{trainer.estimated_stepping_batches}; the next run goes on from there"
        )
