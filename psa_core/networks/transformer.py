"""Plain vision transformers of timm as backbones: tokens as feature maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.models import is_model_in_modules
from torch import nn

from psa_core.networks.backbone import Backbone, Features
from psa_core.networks.timm_backbone import create_timm_network, load_imagenet_weights

# timm's files of transformers whose blocks all have the same tokens.
MODULES = ("vision_transformer", "eva", "deit")  # ViT, CLIP and DINOv2; DINOv3; DeiT
FINEST = 8  # stride in pixels of the first level, that of AffinityNet's labels


def is_transformer(name: str) -> bool:
    """Whether a timm model is one for `TransformerBackbone`."""
    return is_model_in_modules(name, MODULES)


class TransformerBackbone(Backbone):
    """A plain vision transformer of timm by name, for example `vit_small_patch14_dinov2`.

    name: a timm model of one of MODULES.
    output_stride: stride of its tokens, for a patch of any size: an image is first resized by
    patch / output_stride. A stride of 8 has four times as many tokens as one of 16, and the network
    sees objects at twice the size. Positions are interpolated to the number of tokens.
    frozen_stages: n > 0 freezes the embedding of patches and the first n - 1 blocks.
    pretrained: start from timm's weights.

    The levels are the tokens after half, three quarters and all of the blocks; the first is
    interpolated to a stride of FINEST pixels.
    Raises UserError where timm cannot build the network for images of any size.
    """

    def __init__(
        self, name: str, *, output_stride: int, frozen_stages: int = 0, pretrained: bool = True
    ):
        super().__init__()
        self.name = name
        self.network = create_timm_network(
            name, "cannot be a backbone", "choose another network", dynamic_img_size=True
        )
        if pretrained:
            load_imagenet_weights(self.network, name)
        depth = len(self.network.blocks)
        self.indices = [depth // 2 - 1, 3 * depth // 4 - 1, depth - 1]
        self.patch = self.network.patch_embed.patch_size[0]
        self.stride = output_stride
        self.level_channels = [self.network.embed_dim] * 3
        self.level_strides = [FINEST, output_stride, output_stride]
        self.final_channels = self.network.embed_dim
        config = self.network.pretrained_cfg
        self.register_buffer("mean", torch.tensor(config["mean"]).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config["std"]).view(3, 1, 1), persistent=False)
        if frozen_stages:
            self._freeze(frozen_stages - 1)

    def _freeze(self, blocks: int) -> None:
        # All modules before the blocks; positions and class token are parameters of their own.
        for name, part in self.network.named_children():
            if name == "blocks":
                part[:blocks].requires_grad_(False)
                break
            part.requires_grad_(False)
        for parameter in self.network.parameters(recurse=False):
            parameter.requires_grad_(False)

    def undecayed(self) -> list[nn.Parameter]:
        """Positions and tokens, which weight decay must not shrink."""
        names = self.network.no_weight_decay()
        return [p for name, p in self.network.named_parameters() if name in names]

    def forward(self, images: torch.Tensor) -> Features:
        """images: float [B, 3, H, W], RGB in [0, 1], H and W multiples of the stride."""
        cells = [side // self.stride for side in images.shape[2:]]
        size = [count * self.patch for count in cells]
        if size != list(images.shape[2:]):
            images = F.interpolate(
                images, size, mode="bilinear", align_corners=False, antialias=True
            )
        tokens, levels = self.network.forward_intermediates(
            (images - self.mean) / self.std, indices=self.indices
        )
        # Tokens that stand for no patch come first.
        final = tokens[:, -cells[0] * cells[1] :].transpose(1, 2).unflatten(2, cells)
        if self.stride > FINEST:
            factor = self.stride // FINEST
            levels[0] = F.interpolate(
                levels[0], scale_factor=factor, mode="bilinear", align_corners=False
            )
        return Features(levels, final)
