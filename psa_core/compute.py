"""The machine that networks run on: devices, threads, memory."""

from __future__ import annotations

import ctypes
import sys

import torch
from torch import distributed


def open_device(device: str, threads: int) -> torch.device:
    """The device by name, with the process set up for it; "auto" is a GPU where there is one.

    threads: how many cores torch may use. Raises ValueError where the device is missing.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device is '{device}' but torch sees no GPU; set device: cpu or auto")
    torch.set_num_threads(threads)
    keep_memory()
    return torch.device(device)


def half_precision(device: torch.device) -> torch.autocast:
    """float16 where a GPU runs a network, as in training; a CPU's results stay those of float32."""
    return torch.autocast(device.type, torch.float16, enabled=device.type == "cuda")


def check_finite(outputs: torch.Tensor) -> None:
    """Raises ValueError where a network's outputs are not finite, of which no label can be made."""
    if not torch.isfinite(outputs).all():
        raise ValueError(
            "the network's outputs are not finite: on a GPU say device: cpu (half precision ends "
            "at 65,504); otherwise train it anew with a lower optimizer.learning_rate"
        )


def batch_mean(total: torch.Tensor, count: int | torch.Tensor) -> torch.Tensor:
    """The mean over a batch that several devices share, from this device's sum and count.

    Lightning averages gradients and losses over the devices. Devices count differently many pixels
    or pairs, so each divides by the mean count, and the average is the mean over the whole batch.
    On one device it is total / count, or 0 where nothing is counted.
    """
    counts = torch.as_tensor(count, dtype=torch.int64, device=total.device).clone()
    if not distributed.is_initialized():
        return total / counts.clamp(min=1)
    distributed.all_reduce(counts)
    return total * distributed.get_world_size() / counts.clamp(min=1)


def keep_memory() -> None:
    """Tell glibc to keep freed memory for the next layer in place of returning it to the kernel.

    On a CPU the page faults of fresh activations take much of the time: a training step of
    EfficientNet-Lite0 at 288 px took 193 ms an image without and 124 to 136 ms with it (one run
    each, 2 cores, a noisy machine). Elsewhere than under glibc it does nothing.
    """
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None)
        if hasattr(libc, "gnu_get_libc_version"):
            m_trim_threshold, m_mmap_max, m_arena_max = -1, -4, -8
            libc.mallopt(m_arena_max, 1)  # autograd's own thread included
            libc.mallopt(m_mmap_max, 0)
            libc.mallopt(m_trim_threshold, -1)  # never
