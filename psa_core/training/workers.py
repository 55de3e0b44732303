"""The processes that decode and transform the images of a training."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import torch

from psa_core.training.augmentation import TrainingImages

log = logging.getLogger(__name__)

SHARED_MEMORY = Path("/dev/shm")  # where there is none, as on macOS, its size is not limited
BATCHES_AHEAD = 3  # of each process: two that the data loader asks for, and the one in use


def number_of_workers(
    images: TrainingImages, batch_size: int, *, device: torch.device, threads: int, sharers: int = 1
) -> int:
    """How many processes there should be; 0 if the training itself should do their work.

    batch_size, threads: of this device. sharers: devices of this machine, which share its memory.
    A CPU also trains with these threads; a GPU leaves them all but one to the processes. They hand
    batches over in shared memory, of which containers often have only 64 MiB. With too little of it
    a warning says so, and there are none.
    """
    workers = max(1, threads - 1 if device.type == "cuda" else threads // 2)
    if not SHARED_MEMORY.is_dir():
        return workers
    sample = sum(tensor.nbytes for tensor in images[0, 0])
    needed, free = sharers * workers * BATCHES_AHEAD * batch_size * sample, _free()
    if needed <= free:
        return workers
    log.warning(
        "%s has %.0f MiB free and batches need up to %.0f: images are read by the training itself, "
        "which is slower; in a container, give it more (docker run --shm-size=2g)",
        SHARED_MEMORY,
        free / 2**20,
        needed / 2**20,
    )
    return 0


def _free() -> int:
    return shutil.disk_usage(SHARED_MEMORY).free
