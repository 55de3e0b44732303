"""Resuming a training: checkpoints written whole, and signals that save one."""

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

from psa_core.runtime.artifacts import replacing

log = logging.getLogger(__name__)

# SLURM sends SIGUSR1 before the time limit and SIGTERM at it and on scancel; Ctrl-C is SIGINT.
SIGNALS = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)


class WholeCheckpoints(TorchCheckpointIO):
    """Writes each checkpoint whole or not at all.

    Lightning moves it from the system's temporary folder, which is a copy, and may be interrupted,
    if that is another file system.
    """

    def save_checkpoint(
        self, checkpoint: dict, path: str | Path, storage_options: None = None
    ) -> None:
        with replacing(path) as temporary:
            torch.save(checkpoint, temporary)


def last_checkpoint(folder: Path, stamp: object, *, is_first: bool) -> Path | None:
    """The checkpoint in a folder to resume from; None if it is missing, damaged or out of date.

    stamp: builtins that the weights depend on; a checkpoint with another stamp is out of date.
    is_first: whether this process is the one that writes. It deletes what cannot be resumed. The
    others only look, possibly at the same time, and get the same answer: the new stamp is written
    only once the old files are gone.
    """
    digest = hashlib.sha256(json.dumps(stamp, sort_keys=True).encode()).hexdigest()
    stamped, checkpoint = folder / "stamp", folder / "last.ckpt"
    found = _read(stamped)
    if found == digest:
        if not checkpoint.exists():
            return None
        if _is_whole(checkpoint):
            return checkpoint
        log.warning("%s is damaged: training starts again", checkpoint)
    elif found and is_first:
        log.info("%s is from another configuration, data or code: training starts again", folder)
    if is_first:
        if folder.exists():
            shutil.rmtree(folder)
        with replacing(stamped) as temporary:
            temporary.write_text(digest)
    return None


def _read(stamped: Path) -> str | None:
    try:
        return stamped.read_text()
    except FileNotFoundError:  # not written yet, or the first process is deleting it
        return None


def _is_whole(checkpoint: Path) -> bool:
    try:
        with zipfile.ZipFile(checkpoint) as members:
            return members.testzip() is None  # compares checksums, which torch.load does not
    except (OSError, zipfile.BadZipFile):
        return False


def steps_done(checkpoint: Path | None) -> int:
    """Number of training steps that a checkpoint has behind it; 0 without one."""
    if checkpoint is None:
        return 0
    return torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["global_step"]


def ignore_signals(_: int) -> None:
    """For data-loading workers: SLURM signals them too, but the current step needs its batch."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class StopOnSignal(Callback):
    """On a signal, save the state after the current step and raise SystemExit.

    checkpoint: the file to write. After the last step of an epoch `ModelCheckpoint` has saved.
    On several devices all stop after the same step, whichever of them received the signal.
    """

    def __init__(self, checkpoint: Path):
        self.checkpoint, self.received = checkpoint, 0

    def on_train_start(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        # Replaces Lightning's handlers, which save nothing; Lightning restores the original ones.
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
        if self._is_asked(trainer):  # during the last step of an epoch, which saves anyway
            self._stop(trainer)

    def _is_asked(self, trainer: lightning.Trainer) -> bool:
        return trainer.strategy.reduce_boolean_decision(self.received > 0, all=False)

    def _stop(self, trainer: lightning.Trainer) -> None:
        name = signal.Signals(self.received).name if self.received else "a signal"
        raise SystemExit(
            f"{name}: stopped after step {trainer.global_step} of "
            f"{trainer.estimated_stepping_batches}; run again to resume"
        )
