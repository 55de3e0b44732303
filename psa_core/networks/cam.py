"""The classification network whose weights give the class activation maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from psa_core.networks.backbone import Backbone


class CamNetwork(nn.Module):
    """Backbone, optional 3x3 convolution, dropout, global average pooling, linear classifier.

    The classifier is a 1x1 convolution without bias, so that the same weights score the pooled
    features (`forward`) and every cell of the map (`activations`; paper, eq. 1).

    classes: number of object classes C.
    channels: width of the paper's 3x3 convolution before pooling; None for no convolution.
    dropout: probability of dropping a channel, in [0, 1).
    """

    def __init__(
        self, backbone: Backbone, classes: int, *, channels: int | None = None, dropout: float = 0.0
    ):
        super().__init__()
        self.backbone = backbone
        width = backbone.final_channels
        self.neck = nn.Identity()
        if channels:
            self.neck = nn.Sequential(nn.Conv2d(width, channels, 3, padding=1), nn.ReLU())
            width = channels
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(width, classes, 1, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [B, C] of images float [B, 3, H, W] in [0, 1]."""
        features = self.dropout(self.features(images))
        return self.classifier(features.mean((2, 3), keepdim=True)).flatten(1)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """f_cam(x, y) before dropout, float [B, D, h, w]."""
        return self.neck(self.backbone(images).final)

    def activations(self, images: torch.Tensor) -> torch.Tensor:
        """w_c . f_cam(x, y) before rectification, float [B, C, h, w] (paper, eq. 1)."""
        return self.classifier(self.features(images))


class PrototypeNetwork(CamNetwork):
    """A CamNetwork whose classifier has the weights of `method.prototypes`."""

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """f_cam(x, y) at length 1, float [B, D, h, w]."""
        return F.normalize(super().features(images), dim=1)
