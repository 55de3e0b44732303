"""Depthwise convolutions on a GPU, for inference on images of many sizes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


def avoid_cudnn(network: nn.Module) -> nn.Module:
    """Make a network's depthwise convolutions run on torch's own kernels; returns the network.

    cuDNN 9 compiles a program for each new size of their input, about 0.1 s per layer on an H100:
    class maps of EfficientNet-Lite0 came at 12 images per second, those of ResNet50, which has no
    such layers, at 60. Trainings are not affected: their crops all have one size.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            module.forward = _outside_cudnn(module.forward)
    return network


def _outside_cudnn(forward: Callable) -> Callable:
    def outside(inputs: torch.Tensor) -> torch.Tensor:
        with torch.backends.cudnn.flags(enabled=False):
            return forward(inputs)

    return outside
