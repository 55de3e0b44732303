"""Depthwise convolutions where the library's own are slow: dilated on a CPU, any in cuDNN."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class DilatedDepthwise(nn.Conv2d):
    """A dilated depthwise convolution of stride 1 that keeps the size, for training on a CPU.

    With dilation d, an output depends only on inputs whose row and column differ from its own by
    multiples of d. The d * d phases of such inputs are convolved without dilation, as a batch:
    oneDNN's gradients of dilated depthwise convolutions took four times as long.
    """

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if inputs.is_cuda or not torch.is_grad_enabled():
            return super().forward(inputs)
        (d, _), padding = self.dilation, tuple(side // 2 for side in self.kernel_size)
        phases = _to_phases(inputs, d)
        phases = F.conv2d(phases, self.weight, self.bias, padding=padding, groups=self.groups)
        return _from_phases(phases, d, *inputs.shape[2:])


def speed_up_dilated(network: nn.Module) -> None:
    """Turn a network's dilated depthwise convolutions into `DilatedDepthwise`, where they fit."""
    for module in network.modules():
        if type(module) is nn.Conv2d and _is_depthwise(module) and _keeps_size(module):
            (d, e) = module.dilation
            if d == e > 1:
                module.__class__ = DilatedDepthwise


class _OutsideCudnn(nn.Conv2d):
    """A convolution that runs on torch's own kernels.

    The switch is that of the process, so only one thread may use the network: `inference` has one
    for a GPU.
    """

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        with torch.backends.cudnn.flags(enabled=False):
            return super().forward(inputs)


def avoid_cudnn(network: nn.Module) -> nn.Module:
    """Make a network's depthwise convolutions run on torch's own kernels; returns the network.

    In each new thread, and for each new size of their input, cuDNN 9 compiles a program per layer,
    about 0.1 s on an H100. Trainings are not affected: their crops all have one size.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and _is_depthwise(module):
            own = type(module)
            module.__class__ = type(own.__name__, (_OutsideCudnn, own), {})
    return network


def _is_depthwise(module: nn.Conv2d) -> bool:
    return module.groups == module.in_channels > 1


def _keeps_size(module: nn.Conv2d) -> bool:
    """Whether the output has the size of the input, which is padded with zeros on all sides."""
    sides = list(zip(module.kernel_size, module.dilation, strict=True))
    return (
        module.stride == (1, 1)
        and module.padding == tuple(dilation * (side // 2) for side, dilation in sides)
        and module.padding_mode == "zeros"
        and all(side % 2 for side, _ in sides)
    )


def _to_phases(maps: torch.Tensor, d: int) -> torch.Tensor:
    """Maps [B, C, H, W] as [d * d * B, C, ceil(H / d), ceil(W / d)], padded by zeros."""
    cells = F.pad(maps, (0, -maps.shape[3] % d, 0, -maps.shape[2] % d)).permute(0, 2, 3, 1)
    batch, height, width, channels = cells.shape
    cells = cells.reshape(batch, height // d, d, width // d, d, channels)
    cells = cells.permute(2, 4, 0, 1, 3, 5).reshape(-1, height // d, width // d, channels)
    return cells.permute(0, 3, 1, 2)


def _from_phases(phases: torch.Tensor, d: int, height: int, width: int) -> torch.Tensor:
    """The maps [B, C, height, width] whose phases these are."""
    cells = phases.permute(0, 2, 3, 1)
    cells = cells.reshape(d, d, -1, *cells.shape[1:]).permute(2, 3, 0, 4, 1, 5)
    batch, rows, _, columns, _, channels = cells.shape
    cells = cells.reshape(batch, rows * d, columns * d, channels)
    return cells[:, :height, :width].permute(0, 3, 1, 2)
