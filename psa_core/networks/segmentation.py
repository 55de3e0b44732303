"""Segmentation networks: the paper's two heads, or a network of segmentation-models-pytorch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from psa_core.errors import UserError
from psa_core.networks.backbone import Backbone
from psa_core.networks.registry import LIBRARY_STRIDE, OUR_ARCHITECTURES


class AtrousNetwork(nn.Module):
    """Two 3x3 atrous convolutions at stride 8: the head of the paper's Ours-ResNet38.

    There they take the backbone's final features alone, with 512 channels and dilation 12. For
    backbones whose final features are coarse, the three levels are normalised and joined first.

    classes: number of object classes C; background comes first in the output.
    level_channels: widths that the levels are reduced to, finest first; None for the final features
    alone.
    channels: width between the two atrous convolutions. dilation: of both, in cells.
    """

    def __init__(
        self,
        backbone: Backbone,
        classes: int,
        *,
        level_channels: Sequence[int] | None,
        channels: int,
        dilation: int,
    ):
        super().__init__()
        self.backbone = backbone
        atrous = {"kernel_size": 3, "padding": dilation, "dilation": dilation}
        if level_channels is None:
            self.reduce = None
            first = [nn.Conv2d(backbone.final_channels, channels, **atrous)]
        else:
            self.reduce = nn.ModuleList(
                nn.Sequential(
                    nn.Conv2d(wide, narrow, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU()
                )
                for wide, narrow in zip(backbone.level_channels, level_channels, strict=True)
            )
            first = [
                nn.Conv2d(sum(level_channels), channels, bias=False, **atrous),
                nn.BatchNorm2d(channels),
            ]
        self.head = nn.Sequential(
            *first,
            nn.ReLU(),
            nn.Conv2d(channels, classes + 1, **atrous),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [B, C + 1, h, w] of images float [B, 3, H, W] in [0, 1].

        h and w are those of the finest level, or of the final features if `level_channels` is None.
        """
        features = self.backbone(images)
        if self.reduce is None:
            return self.head(features.final)
        size = features.levels[0].shape[2:]
        levels = [
            F.interpolate(reduce(level), size, mode="bilinear", align_corners=False)
            for reduce, level in zip(self.reduce, features.levels, strict=True)
        ]
        return self.head(torch.cat(levels, dim=1))


class LargeFov(nn.Module):
    """A linear classifier on each cell of the backbone's final features.

    With VGG16, whose fc6 has dilation 12 in this stage, this is DeepLab-LargeFOV (Chen et al.
    2014), the paper's Ours-DeepLab.

    classes: number of object classes C; background comes first in the output.
    """

    def __init__(self, backbone: Backbone, classes: int):
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout2d(0.5)
        self.head = nn.Conv2d(backbone.final_channels, classes + 1, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [B, C + 1, h, w] of images float [B, 3, H, W] in [0, 1]; h, w of the backbone."""
        return self.head(self.dropout(self.backbone(images).final))


class LibraryNetwork(nn.Module):
    """An architecture of segmentation-models-pytorch by name, on a backbone of timm.

    The encoder takes the weights of the backbone up to its last level; frozen stages stay frozen.

    architecture: for example `deeplabv3plus`, `segformer`, `upernet` or `unet`. Raises UserError
    for an unknown one, and for a backbone that the library cannot build for images of any size.
    """

    def __init__(self, backbone: Backbone, classes: int, *, architecture: str):
        super().__init__()
        import segmentation_models_pytorch as smp  # slow, and used here alone

        from psa_core.networks.timm_backbone import TimmBackbone, is_swin

        if not isinstance(backbone, TimmBackbone) or is_swin(backbone.name):
            raise UserError(
                f"architecture '{architecture}' cannot have a transformer, {backbone.name}; set it "
                f"to {' or '.join(OUR_ARCHITECTURES)}"
            )
        known = sorted(each.__name__ for each in smp.MODEL_ARCHITECTURES_MAPPING.values())
        if architecture.lower() not in smp.MODEL_ARCHITECTURES_MAPPING:
            raise UserError(
                f"unknown architecture '{architecture}'; choose one of "
                + ", ".join([*OUR_ARCHITECTURES, *known])
            )
        network = smp.create_model(
            architecture,
            encoder_name=f"tu-{backbone.name}",
            encoder_weights=None,
            classes=classes + 1,
        )
        # timm's feature networks call some layers stages_0 instead of stages.0
        state = {k.replace(".", "_"): v for k, v in backbone.network.state_dict().items()}
        encoder = network.encoder.model
        encoder.load_state_dict({k: state[k.replace(".", "_")] for k in encoder.state_dict()})
        learns = {k.replace(".", "_"): p for k, p in backbone.network.named_parameters()}
        for name, parameter in encoder.named_parameters():
            parameter.requires_grad_(learns[name.replace(".", "_")].requires_grad)
        self.backbone = network.encoder
        self.backbone.stride = LIBRARY_STRIDE
        self.decoder, self.head = network.decoder, network.segmentation_head
        self.register_buffer("mean", backbone.mean.clone(), persistent=False)
        self.register_buffer("std", backbone.std.clone(), persistent=False)

    def train(self, mode: bool = True) -> LibraryNetwork:
        """Training mode for all but frozen layers, whose batch norms keep their statistics."""
        super().train(mode)
        for layer in self.backbone.modules():
            own = list(layer.parameters(recurse=False))
            if own and not any(parameter.requires_grad for parameter in own):
                layer.eval()
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [B, C + 1, h, w] of images float [B, 3, H, W] in [0, 1]."""
        return self.head(self.decoder(self.backbone((images - self.mean) / self.std)))
