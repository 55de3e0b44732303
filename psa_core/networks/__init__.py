"""The three networks, built from configuration and kept in files that rebuild them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from psa_core.artifacts import REBUILD, remove_left, replacing
from psa_core.networks import vgg16, weights
from psa_core.networks.affinity import AffinityNetwork
from psa_core.networks.backbone import Backbone
from psa_core.networks.cam import CamNetwork
from psa_core.networks.folding import fold_batch_norms
from psa_core.networks.resnet38 import ResNet38
from psa_core.networks.segmentation import AtrousNetwork, LargeFov, LibraryNetwork

FC6_DILATION = {"cam": 1, "affinity": 4, "segmentation": 12}  # of VGG16, as the paper has it


def build(stage: str, settings: dict, classes: int, *, pretrained: bool = True) -> nn.Module:
    """The network of a stage ("cam", "affinity" or "segmentation") for C object classes.

    settings: section `network` of the stage's configuration; its `weights` is "imagenet" (the
    default), "random", or a file for `weights.load`.
    pretrained: start from those weights; False where all weights are loaded afterwards.
    Raises ValueError for a backbone, an architecture or a file that does not fit.
    """
    settings = dict(settings)
    source = settings.pop("weights", "imagenet")
    if not pretrained:
        source = "random"
    backbone = create_backbone(
        settings.pop("backbone"),
        output_stride=settings.pop("output_stride"),
        frozen_stages=settings.pop("frozen_stages"),
        fc6_dilation=FC6_DILATION[stage],
        pretrained=source == "imagenet",
    )
    network = _with_head(stage, backbone, classes, settings)
    if source not in ("imagenet", "random"):
        weights.load(network, stage, source)
    return network


def create_backbone(
    name: str, *, output_stride: int, frozen_stages: int, fc6_dilation: int, pretrained: bool
) -> nn.Module:
    """A backbone by name: ours of the paper, `resnet38` and `vgg16`, else timm's; see `Backbone`.

    timm has another network named `vgg16`; it cannot be reached.
    fc6_dilation: of vgg16. pretrained: start from ImageNet weights.
    """
    if name not in ("resnet38", "vgg16"):
        return Backbone(
            name, output_stride=output_stride, frozen_stages=frozen_stages, pretrained=pretrained
        )
    if output_stride != 8:
        raise ValueError(f"{name} has output stride 8, not {output_stride}; set output_stride: 8")
    if name == "resnet38":
        if pretrained:
            raise ValueError(
                "ImageNet weights of resnet38 cannot be downloaded; set the network's weights to "
                "the file ilsvrc-cls_rna-a1_cls1000_ep-0001.params or to random"
            )
        return ResNet38(frozen_stages=frozen_stages)
    backbone = vgg16.VGG16(fc6_dilation=fc6_dilation, frozen_stages=frozen_stages)
    if pretrained:
        backbone.load_state_dict(vgg16.imagenet_weights())
    return backbone


def _with_head(stage: str, backbone: nn.Module, classes: int, settings: dict) -> nn.Module:
    if stage == "cam":
        return CamNetwork(backbone, classes, **settings)
    if stage == "affinity":
        return AffinityNetwork(backbone, **settings)
    architecture = settings.pop("architecture")
    if architecture == "atrous":
        return AtrousNetwork(backbone, classes, **settings)
    if architecture == "largefov":
        return LargeFov(backbone, classes)
    return LibraryNetwork(backbone, classes, architecture=architecture)


def import_weights(path: str | Path, stage: str, settings: dict, classes: int) -> None:
    """Write the network of a stage from its `weights` alone, without training.

    Raises ValueError, with file and parameter, where the file lacks one or has another shape.
    """
    network = build(stage, settings, classes, pretrained=False)
    weights.load(network, stage, settings["weights"], complete=True)
    write(path, network, stage, settings, classes)


def write(path: str | Path, network: nn.Module, stage: str, settings: dict, classes: int) -> None:
    """Keep a network's weights with what `build` needs to make it again."""
    saved = {
        "stage": stage,
        "settings": settings,
        "classes": classes,
        "state": {key: tensor.cpu() for key, tensor in network.state_dict().items()},
    }
    remove_left(path)
    # A path's random name would stand in the file, and equal networks would differ in bytes.
    with replacing(path) as temporary, open(temporary, "wb") as file:
        torch.save(saved, file)


def read(path: str | Path, device: torch.device, **changes: object) -> nn.Module:
    """The network that `write` kept, for predictions alone. Runs no code of the file.

    It is in evaluation mode, on the device, and its batch norms are taken into its convolutions.
    changes: settings other than those it was trained with, for example `output_stride`.
    Raises ValueError naming a file that is damaged.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except weights.UNREADABLE as error:
        raise ValueError(f"{path}: not a readable network ({error}); {REBUILD}") from error
    settings = {**saved["settings"], **changes}
    network = build(saved["stage"], settings, saved["classes"], pretrained=False)
    network.load_state_dict(saved["state"])
    return fold_batch_norms(network.eval()).to(device, memory_format=torch.channels_last)
