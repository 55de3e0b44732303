"""The three networks, built from configuration and kept in files that rebuild them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from psa_core.artifacts import replacing
from psa_core.networks.affinity import AffinityNetwork
from psa_core.networks.backbone import Backbone
from psa_core.networks.cam import CamNetwork
from psa_core.networks.segmentation import AtrousNetwork, LibraryNetwork


def build(stage: str, settings: dict, classes: int, *, pretrained: bool = True) -> nn.Module:
    """The network of a stage ("cam", "affinity" or "segmentation") for C object classes.

    settings: section `network` of the stage's configuration.
    pretrained: start from ImageNet weights; False where all weights are loaded afterwards.
    Raises ValueError for a backbone or an architecture that does not exist.
    """
    settings = dict(settings)
    backbone = Backbone(
        settings.pop("backbone"),
        output_stride=settings.pop("output_stride"),
        frozen_stages=settings.pop("frozen_stages"),
        pretrained=pretrained,
    )
    if stage == "cam":
        return CamNetwork(backbone, classes, **settings)
    if stage == "affinity":
        return AffinityNetwork(backbone, **settings)
    architecture = settings.pop("architecture")
    if architecture == "atrous":
        return AtrousNetwork(backbone, classes, **settings)
    return LibraryNetwork(backbone, classes, architecture=architecture)


def write(path: str | Path, network: nn.Module, stage: str, settings: dict, classes: int) -> None:
    """Keep a network's weights with what `build` needs to make it again."""
    saved = {
        "stage": stage,
        "settings": settings,
        "classes": classes,
        "state": {key: tensor.cpu() for key, tensor in network.state_dict().items()},
    }
    with replacing(path) as temporary:
        torch.save(saved, temporary)


def read(path: str | Path, device: torch.device, **changes: object) -> nn.Module:
    """The network that `write` kept, in evaluation mode on a device. Runs no code of the file.

    changes: settings other than those it was trained with, for example `output_stride`.
    """
    saved = torch.load(path, map_location="cpu", weights_only=True)
    settings = {**saved["settings"], **changes}
    network = build(saved["stage"], settings, saved["classes"], pretrained=False)
    network.load_state_dict(saved["state"])
    return network.eval().to(device, memory_format=torch.channels_last)
