"""Progress of a training: the mean losses of each epoch, and the time left."""

from __future__ import annotations

import math
import time

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from psa_core.errors import UserError
from psa_core.runtime.logs import bar, told

EVERY = 60  # seconds between two lines within an epoch


class Report(Callback):
    """Log the mean losses of each epoch, and the time left every minute; stop if one is not finite.

    rows: one per finished epoch, {"epoch": 1, name of a loss: its mean over all steps and devices}.
    The callback's state goes into each checkpoint, so a resumed training keeps its earlier rows.
    Raises UserError at the end of an epoch, before its checkpoint, if a loss is not finite.
    """

    def __init__(self) -> None:
        self.start, self.said, self.first = 0.0, 0.0, 0
        self.sums: dict[str, torch.Tensor | float] = {}  # over the steps of the current epoch
        self.rows: list[dict[str, float]] = []

    def state_dict(self) -> dict:
        sums = {name: float(total) for name, total in self.sums.items()}
        return {"rows": self.rows, "sums": sums}

    def load_state_dict(self, state: dict) -> None:
        self.rows, self.sums = state["rows"], state["sums"]

    def on_train_start(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        self.start = self.said = time.monotonic()
        self.first = trainer.global_step
        steps = trainer.estimated_stepping_batches
        self.bar = bar("steps", total=int(steps), initial=self.first)

    def on_train_end(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        self.bar.close()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        task: lightning.LightningModule,
        outputs: dict[str, torch.Tensor],
        *_: object,
    ) -> None:
        for name, value in outputs.items():
            value = trainer.strategy.reduce(value.detach().double(), reduce_op="mean")
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.bar.update()
        if time.monotonic() - self.said > EVERY:
            steps = trainer.estimated_stepping_batches
            self._say(trainer, f"step {trainer.global_step}/{int(steps)}")

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, task: lightning.LightningModule
    ) -> None:
        steps = trainer.num_training_batches
        losses = {name: float(total) / steps for name, total in sorted(self.sums.items())}
        if not all(map(math.isfinite, losses.values())):
            raise UserError(f"a loss is not finite ({losses}): lower optimizer.learning_rate")
        self.sums = {}
        done = trainer.current_epoch + 1
        self.rows.append({"epoch": done, **losses})
        terms = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
        self._say(trainer, f"epoch {done}/{trainer.max_epochs}: {terms}")

    def _say(self, trainer: lightning.Trainer, what: str) -> None:
        """Log what is done with the seconds so far and left."""
        self.said = time.monotonic()
        seconds, step = self.said - self.start, trainer.global_step
        left = seconds / (step - self.first) * (trainer.estimated_stepping_batches - step)
        told.info("%s, %.0f s so far, %.0f s left", what, seconds, left)
