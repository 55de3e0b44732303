"""Devices, threads and memory of the machine that networks run on."""

from __future__ import annotations

import ctypes
import sys

import torch
from torch import distributed

from psa_core.errors import UserError


def open_device(device: str, threads: int) -> torch.device:
    """Set this process up for a device and return it.

    device: "cpu", "cuda", "cuda:1", or "auto", which is a GPU if there is one.
    threads: number of CPU cores that torch may use.
    Raises UserError if the device is missing.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"device is '{device}' but torch sees no GPU; set device: cpu or auto")
    torch.set_num_threads(threads)
    keep_memory()
    return torch.device(device)


def half_precision(device: torch.device) -> torch.autocast:
    """Context in which networks compute in float16 on a GPU, as in training; float32 on a CPU."""
    return torch.autocast(device.type, torch.float16, enabled=device.type == "cuda")


def check_finite(outputs: torch.Tensor) -> None:
    """Raise ValueError if a network's outputs are not all finite."""
    if not torch.isfinite(outputs).all():
        raise UserError(
            "the network's outputs are not finite: on a GPU set device: cpu (half precision ends "
            "at 65,504); otherwise train it again with a lower optimizer.learning_rate"
        )


def batch_mean(total: torch.Tensor, count: int | torch.Tensor) -> torch.Tensor:
    """Mean over a batch that several devices share, from the sum and count of this device.

    total: scalar, the sum over this device's part. count: number of its pixels or pairs.
    Lightning averages gradients and losses over the devices, whose counts differ. Each therefore
    divides by the mean count, and the average is the mean over the whole batch.
    Returns a scalar; total / count on one device, 0 if nothing is counted.
    """
    counts = torch.as_tensor(count, dtype=torch.int64, device=total.device).clone()
    if not distributed.is_initialized():
        return total / counts.clamp(min=1)
    distributed.all_reduce(counts)
    return total * distributed.get_world_size() / counts.clamp(min=1)


def keep_memory() -> None:
    """Make glibc keep freed memory for the next layer instead of returning it to the kernel.

    On a CPU, page faults of new activations take much of the time: a training step of
    EfficientNet-Lite0 at 288 px took 193 ms per image without this and 124 to 136 ms with it (one
    run each, 2 cores, a noisy machine). Without glibc it does nothing.
    """
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None)
        if hasattr(libc, "gnu_get_libc_version"):
            m_trim_threshold, m_mmap_max, m_arena_max = -1, -4, -8
            libc.mallopt(m_arena_max, 1)  # autograd's own thread included
            libc.mallopt(m_mmap_max, 0)
            libc.mallopt(m_trim_threshold, -1)  # never
