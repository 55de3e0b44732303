"""Backbones: an image in, feature maps of several strides out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of red, green and blue in [0, 1]
IMAGENET_STD = (0.229, 0.224, 0.225)


class Features(NamedTuple):
    """Feature maps of a batch of images.

    levels: the last three levels, finest first, each float [B, C_l, H_l, W_l].
    final: what the backbone's own classifier would pool, float [B, C, H_f, W_f].
    """

    levels: list[torch.Tensor]
    final: torch.Tensor


class Backbone(nn.Module):
    """What the families of `registry` have in common: images float [B, 3, H, W], RGB in [0, 1],
    to `Features`, and the attributes below.

    name: its name in the configuration.
    level_channels, level_strides: channels and strides in pixels of the three levels, finest first.
    final_channels: channels of the final map.
    stride: the coarsest stride; maps cover images exactly whose sides are multiples of it.
    """

    name: str
    level_channels: Sequence[int]
    level_strides: Sequence[int]
    final_channels: int
    stride: int


def to_batch(images: Sequence[np.ndarray], device: torch.device) -> torch.Tensor:
    """Images uint8 [H, W, 3] of one size as float [B, 3, H, W] in [0, 1] on a device."""
    return torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2).float() / 255


def scaled(images: torch.Tensor, scale: float, stride: int) -> torch.Tensor:
    """Resize images [B, 3, H, W] by `scale`, to sides that are multiples of `stride`.

    Every feature map then covers the whole image exactly, and no map needs cropping.
    """
    size = [max(stride, round(side * scale / stride) * stride) for side in images.shape[2:]]
    images = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
    return images.contiguous(memory_format=torch.channels_last)
