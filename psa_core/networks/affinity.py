"""AffinityNet: features whose L1 distance tells whether two cells belong to one class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from psa_core.errors import UserError
from psa_core.networks.backbone import Backbone

LABEL_STRIDE = 8  # pixels per cell of the affinities and of the labels that they learn (paper)


class AffinityNetwork(nn.Module):
    """Three levels of the backbone, each reduced by a 1x1 convolution, joined at stride 8.

    channels: widths that the levels are reduced to, finest first; a feature has D, their sum.
    group_norm: normalise each reduced level (groups of 8 channels), as the release does with VGG16.

    `stride` is that of the backbone's finest level, in pixels. Raises UserError if it is not 8.
    """

    def __init__(self, backbone: Backbone, *, channels: Sequence[int], group_norm: bool):
        super().__init__()
        self.stride = backbone.level_strides[0]
        if self.stride != LABEL_STRIDE:
            raise UserError(
                f"the affinity network cannot use backbone '{backbone.name}': its finest level has "
                f"stride {self.stride}, but affinity labels are reduced to stride {LABEL_STRIDE}; "
                "choose a ResNet, ConvNeXt, EfficientNet or vision transformer"
            )
        self.backbone = backbone
        self.reduce = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(wide, narrow, 1, bias=False),
                nn.GroupNorm(narrow // 8, narrow) if group_norm else nn.Identity(),
                nn.ELU(),
            )
            for wide, narrow in zip(backbone.level_channels, channels, strict=True)
        )
        self.join = nn.Conv2d(sum(channels), sum(channels), 1, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features float [B, D, ceil(H / 8), ceil(W / 8)] of images [B, 3, H, W] in [0, 1].

        H and W must be multiples of `backbone.stride` for the map to cover the image exactly.
        Coarser levels are upsampled to the finest one.
        """
        features = self.backbone(images).levels
        size = features[0].shape[2:]
        levels = [
            F.interpolate(reduce(level), size, mode="bilinear", align_corners=False)
            for reduce, level in zip(self.reduce, features, strict=True)
        ]
        return F.elu(self.join(torch.cat(levels, dim=1)))
