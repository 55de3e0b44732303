"""ResNet38: the wide residual network A1 of Wu et al. (2016), dilated to output stride 8."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from psa_core.networks.backbone import IMAGENET_MEAN, IMAGENET_STD, Backbone, Features


class ResNet38(Backbone):
    """The paper's backbone, with the parameter names of its published weights.

    frozen_stages: number of leading stages to freeze, of seven: 1 is conv1a, 2 adds b2, b2_1 and
    b2_2 (paper), and so on. All batch norms are always frozen and in evaluation mode.

    Levels: the activated inputs of b5 and of b6, the output.
    """

    name = "resnet38"
    level_channels = (512, 1024, 4096)
    level_strides = (8, 8, 8)
    final_channels = 4096
    stride = 8

    def __init__(self, *, frozen_stages: int = 0):
        super().__init__()
        self.conv1a = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.b2 = Block(64, 128, 128, stride=2)
        self.b2_1 = Block(128, 128, 128)
        self.b2_2 = Block(128, 128, 128)
        self.b3 = Block(128, 256, 256, stride=2)
        self.b3_1 = Block(256, 256, 256)
        self.b3_2 = Block(256, 256, 256)
        self.b4 = Block(256, 512, 512, stride=2)
        self.b4_1 = Block(512, 512, 512)
        self.b4_2 = Block(512, 512, 512)
        self.b4_3 = Block(512, 512, 512)
        self.b4_4 = Block(512, 512, 512)
        self.b4_5 = Block(512, 512, 512)
        self.b5 = Block(512, 512, 1024, first_dilation=1, dilation=2)
        self.b5_1 = Block(1024, 512, 1024, first_dilation=2, dilation=2)
        self.b5_2 = Block(1024, 512, 1024, first_dilation=2, dilation=2)
        self.b6 = Bottleneck(1024, 512, 1024, 2048, dilation=4, dropout=0.3)
        self.b7 = Bottleneck(2048, 1024, 2048, 4096, dilation=4, dropout=0.5)
        self.bn7 = nn.BatchNorm2d(4096)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)
        for name, layer in self.named_children():
            if int(next(filter(str.isdigit, name))) <= frozen_stages:
                layer.requires_grad_(False)
        for norm in self._norms():
            norm.requires_grad_(False)

    def _norms(self) -> list[nn.BatchNorm2d]:
        return [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]

    def train(self, mode: bool = True) -> ResNet38:
        """Training mode for dropout; batch norms keep their statistics."""
        super().train(mode)
        for norm in self._norms():
            norm.eval()
        return self

    def forward(self, images: torch.Tensor) -> Features:
        """images: float [B, 3, H, W], RGB in [0, 1]; all maps are ceil(H / 8) x ceil(W / 8)."""
        x = self.conv1a((images - self.mean) / self.std)
        for block in (self.b2, self.b2_1, self.b2_2, self.b3, self.b3_1, self.b3_2):
            x = block(x)
        for block in (self.b4, self.b4_1, self.b4_2, self.b4_3, self.b4_4, self.b4_5):
            x = block(x)
        fourth = self.b5.activate(x)
        x = self.b5_2(self.b5_1(self.b5.add(x, fourth)))
        fifth = self.b6.activate(x)
        x = self.b7(self.b6.add(x, fifth))
        final = F.relu(self.bn7(x))
        return Features([fourth, fifth, final], final)


class Preactivated(nn.Module):
    """A residual block that normalises and rectifies its input before the first convolution.

    The shortcut is a 1x1 convolution of that activated input where the shape changes, else the
    input itself. Subclasses define `residual` on the activated input.
    """

    def __init__(self, wide_in: int, wide_out: int, stride: int = 1):
        super().__init__()
        self.bn_branch2a = nn.BatchNorm2d(wide_in)
        self.conv_branch1 = None
        if wide_in != wide_out or stride != 1:
            self.conv_branch1 = nn.Conv2d(wide_in, wide_out, 1, stride, bias=False)

    def activate(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.bn_branch2a(x))

    def add(self, x: torch.Tensor, activated: torch.Tensor) -> torch.Tensor:
        shortcut = self.conv_branch1(activated) if self.conv_branch1 is not None else x
        return shortcut + self.residual(activated)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.add(x, self.activate(x))


class Block(Preactivated):
    """Two 3x3 convolutions."""

    def __init__(
        self,
        wide_in: int,
        middle: int,
        wide_out: int,
        *,
        stride: int = 1,
        first_dilation: int = 1,
        dilation: int = 1,
    ):
        super().__init__(wide_in, wide_out, stride)
        first = {"stride": stride, "padding": first_dilation, "dilation": first_dilation}
        self.conv_branch2a = nn.Conv2d(wide_in, middle, 3, bias=False, **first)
        self.bn_branch2b1 = nn.BatchNorm2d(middle)
        second = {"padding": dilation, "dilation": dilation}
        self.conv_branch2b1 = nn.Conv2d(middle, wide_out, 3, bias=False, **second)

    def residual(self, activated: torch.Tensor) -> torch.Tensor:
        x = self.conv_branch2a(activated)
        return self.conv_branch2b1(F.relu(self.bn_branch2b1(x)))


class Bottleneck(Preactivated):
    """Convolutions of 1x1, 3x3 and 1x1, with channel dropout before the second and the third."""

    def __init__(
        self,
        wide_in: int,
        first: int,
        second: int,
        wide_out: int,
        *,
        dilation: int,
        dropout: float,
    ):
        super().__init__(wide_in, wide_out)
        self.conv_branch2a = nn.Conv2d(wide_in, first, 1, bias=False)
        self.bn_branch2b1 = nn.BatchNorm2d(first)
        atrous = {"padding": dilation, "dilation": dilation}
        self.conv_branch2b1 = nn.Conv2d(first, second, 3, bias=False, **atrous)
        self.bn_branch2b2 = nn.BatchNorm2d(second)
        self.conv_branch2b2 = nn.Conv2d(second, wide_out, 1, bias=False)
        self.dropout = nn.Dropout2d(dropout)

    def residual(self, activated: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn_branch2b1(self.conv_branch2a(activated)))
        x = F.relu(self.bn_branch2b2(self.conv_branch2b1(self.dropout(x))))
        return self.conv_branch2b2(self.dropout(x))
