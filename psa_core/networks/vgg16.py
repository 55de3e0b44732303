"""VGG16 (Simonyan and Zisserman 2014) as DeepLab's variant of 20 million parameters, stride 8."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from psa_core.errors import UserError
from psa_core.networks.backbone import IMAGENET_MEAN, IMAGENET_STD, Backbone, Features

FC6_DILATION = {"cam": 1, "affinity": 4, "segmentation": 12}  # by stage (paper, release)
MEAN = (122.675, 116.669, 104.008)  # of red, green and blue, 0 .. 255
CONVOLUTIONS = [f"conv{s}_{i}" for s, n in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, n + 1)]


class VGG16(Backbone):
    """DeepLab's VGG16, with the parameter names of its published weights.

    stage: "cam", "affinity" or "segmentation"; sets the dilation of fc6, a 3x3 convolution here.
    frozen_stages: number of leading stages to freeze: 1 is conv1_x, 2 adds conv2_x (paper), up to 5
    for the convolutions, 6 and 7 for fc6 and fc7.
    pretrained: start from ImageNet weights (see `imagenet_weights`).

    Levels: conv4_3, conv5_3 and fc7.
    """

    name = "vgg16"
    level_channels = (512, 512, 1024)
    level_strides = (8, 8, 8)
    final_channels = 1024
    stride = 8

    def __init__(self, *, stage: str, frozen_stages: int = 0, pretrained: bool = False):
        super().__init__()
        dilation = FC6_DILATION[stage]
        self.conv1_1 = nn.Conv2d(3, 64, 3, padding=1)
        self.conv1_2 = nn.Conv2d(64, 64, 3, padding=1)
        self.conv2_1 = nn.Conv2d(64, 128, 3, padding=1)
        self.conv2_2 = nn.Conv2d(128, 128, 3, padding=1)
        self.conv3_1 = nn.Conv2d(128, 256, 3, padding=1)
        self.conv3_2 = nn.Conv2d(256, 256, 3, padding=1)
        self.conv3_3 = nn.Conv2d(256, 256, 3, padding=1)
        self.conv4_1 = nn.Conv2d(256, 512, 3, padding=1)
        self.conv4_2 = nn.Conv2d(512, 512, 3, padding=1)
        self.conv4_3 = nn.Conv2d(512, 512, 3, padding=1)
        self.conv5_1 = nn.Conv2d(512, 512, 3, padding=2, dilation=2)
        self.conv5_2 = nn.Conv2d(512, 512, 3, padding=2, dilation=2)
        self.conv5_3 = nn.Conv2d(512, 512, 3, padding=2, dilation=2)
        self.fc6 = nn.Conv2d(512, 1024, 3, padding=dilation, dilation=dilation)
        self.fc7 = nn.Conv2d(1024, 1024, 1)
        self.dropout = nn.Dropout2d(0.5)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        for name, layer in self.named_children():
            if name != "dropout" and int(next(filter(str.isdigit, name))) <= frozen_stages:
                layer.requires_grad_(False)
        if pretrained:
            self.load_state_dict(imagenet_weights())

    def forward(self, images: torch.Tensor) -> Features:
        """images: float [B, 3, H, W], RGB in [0, 1]; all maps are ceil(H / 8) x ceil(W / 8)."""
        x = (images * 255 - self.mean).flip(1)  # blue, green, red
        x = F.relu(self.conv1_2(F.relu(self.conv1_1(x))))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        x = F.relu(self.conv2_2(F.relu(self.conv2_1(x))))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        x = F.relu(self.conv3_3(F.relu(self.conv3_2(F.relu(self.conv3_1(x))))))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        fourth = F.relu(self.conv4_3(F.relu(self.conv4_2(F.relu(self.conv4_1(x))))))
        x = F.max_pool2d(fourth, 3, stride=1, padding=1)
        fifth = F.relu(self.conv5_3(F.relu(self.conv5_2(F.relu(self.conv5_1(x))))))
        final = F.relu(self.fc7(self.dropout(F.relu(self.fc6(fifth)))))
        return Features([fourth, fifth, final], final)


def imagenet_weights() -> dict[str, torch.Tensor]:
    """ImageNet weights of `VGG16` from torchvision, downloaded once and checked by their hash.

    Raises UserError if that fails.
    """
    import torchvision  # slow, and used here alone

    weights = torchvision.models.get_model_weights("vgg16").IMAGENET1K_V1
    try:
        return from_torchvision(weights.get_state_dict(progress=False, check_hash=True))
    except OSError as error:
        raise UserError(
            f"no ImageNet weights of vgg16 from {weights.url}: {error}. Without internet, put "
            "that file into torch's cache, or set the network's weights to another file"
        ) from error


def from_torchvision(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of torchvision's `vgg16` under our names, with its classifier as convolutions.

    fc6 and fc7 are subsampled as in DeepLab: rows and columns 0, 3 and 6 of the 7x7 window, and
    every fourth of the 4096 channels. conv1_1 is adapted from torchvision's standardised input to
    ours (0 .. 255, blue first, another mean). This is exact except in the outermost pixels, where
    zero padding now means our mean, which differs from torchvision's by at most one grey level.
    """
    layers = [key for key in state if key.startswith("features.") and key.endswith(".weight")]
    ours = {}
    for name, key in zip(CONVOLUTIONS, layers, strict=True):
        ours[f"{name}.weight"] = state[key]
        ours[f"{name}.bias"] = state[key.replace("weight", "bias")]
    fc6 = state["classifier.0.weight"].view(4096, 512, 7, 7)
    ours["fc6.weight"] = fc6[::4, :, ::3, ::3].contiguous()
    ours["fc6.bias"] = state["classifier.0.bias"][::4].contiguous()
    ours["fc7.weight"] = state["classifier.3.weight"][::4, ::4, None, None].contiguous()
    ours["fc7.bias"] = state["classifier.3.bias"][::4].contiguous()
    mean, std = (255 * torch.tensor(each).view(3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD))
    per_level = ours["conv1_1.weight"] / std
    shift = torch.tensor(MEAN).view(3, 1, 1) - mean
    ours["conv1_1.bias"] = ours["conv1_1.bias"] + (per_level * shift).sum((1, 2, 3))
    ours["conv1_1.weight"] = per_level.flip(1)
    return ours
